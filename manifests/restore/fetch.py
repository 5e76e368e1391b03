"""Fetches a backup from the bucket into a folder, and refuses it if it is not what was stored."""

import hashlib
import os
import sys
from pathlib import Path

import boto3
from botocore.exceptions import ClientError


def fetch(bucket: str, key: str, folder: Path) -> Path:
    """The dump as `backup.dump`, there only if its checksum is the one stored beside it."""
    client = boto3.client("s3")
    partial = folder / "backup.partial"
    try:
        stored = client.get_object(Bucket=bucket, Key=f"{key}.sha256")["Body"].read()
        client.download_file(bucket, key, str(partial))
    except ClientError as error:
        raise SystemExit(
            f"s3://{bucket}/{key} cannot be read ({error}): give a .dump that has a .dump.sha256."
        ) from error
    expected = stored.decode().split()[0]
    with partial.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        partial.unlink()
        raise SystemExit(
            f"s3://{bucket}/{key} is damaged: its SHA-256 is {found}, stored was {expected}. "
            "Nothing was restored; take another backup."
        )
    return partial.rename(folder / "backup.dump")


if __name__ == "__main__":
    print(fetch(os.environ["BACKUP_BUCKET"], os.environ["BACKUP"], Path(sys.argv[1])), flush=True)
