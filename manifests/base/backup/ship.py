"""Moves the dumps in a folder to the bucket, and removes what is too old.

s3://BUCKET/PREFIX/DATABASE/2026-01-31T021700Z.dump        the dump
s3://BUCKET/PREFIX/DATABASE/2026-01-31T021700Z.dump.sha256 its checksum, written last: a dump counts
                                                           as a backup only with it
"""

import hashlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

CHECKSUM = ".sha256"


def ship(folder: Path, databases: list[str], bucket: str, prefix: str, keep: int) -> None:
    """Upload the dump of each database, then keep its `keep` newest backups."""
    if keep < 1:
        raise SystemExit(f"BACKUP_KEEP is {keep}: keep one backup at least.")
    client = boto3.client("s3")
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H%M%S.%fZ}"
    for database in databases:
        file = folder / f"{database}.dump"
        key = f"{prefix}/{database}/{moment}.dump"
        digest = _sha256(file)
        client.upload_file(str(file), bucket, key)
        stored = client.head_object(Bucket=bucket, Key=key)["ContentLength"]
        if stored != file.stat().st_size:
            raise SystemExit(f"s3://{bucket}/{key} has {stored} bytes: it was not stored whole.")
        client.put_object(
            Bucket=bucket, Key=key + CHECKSUM, Body=f"{digest}  {database}.dump\n".encode()
        )
        print(f"stored s3://{bucket}/{key}", flush=True)
        prune(client, bucket, f"{prefix}/{database}/", keep)


def prune(client: Any, bucket: str, prefix: str, keep: int) -> None:
    """Remove all but the `keep` newest backups, and uploads that were cut off before them."""
    keys = {
        item["Key"]
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for item in page.get("Contents", [])
    }
    whole = sorted(key for key in keys if key.endswith(".dump") and key + CHECKSUM in keys)
    kept = whole[-keep:]
    for key in sorted(keys, reverse=True):  # a checksum goes before its dump
        if key.removesuffix(CHECKSUM) not in kept and key < kept[-1]:
            client.delete_object(Bucket=bucket, Key=key)
            print(f"removed s3://{bucket}/{key}", flush=True)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    ship(
        Path(sys.argv[1]), os.environ["BACKUP_DATABASES"].split(), os.environ["BACKUP_BUCKET"],
        os.environ["BACKUP_PREFIX"].strip("/"), int(os.environ["BACKUP_KEEP"]),
    )  # fmt: skip
