"""The stack's buckets, and what they hold between a stop and the next start.

The S3 server keeps everything in memory, so what is to stay is put into a folder: one file for each
object, named by a number, and `index.json` with the bucket and key of each.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

INDEX = "index.json"


def client_of(environment: Mapping[str, str]) -> Any:
    """The S3 client of a stage's environment."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def make_buckets(client: Any, buckets: Iterable[str]) -> None:
    """Makes the buckets; those that are there stay as they are."""
    known = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for bucket in buckets:
        if bucket not in known:
            client.create_bucket(Bucket=bucket)


def put_away(client: Any, folder: Path) -> None:
    """Writes all objects into a folder, in the place of what lay there."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    index: list[dict[str, str]] = []
    for bucket in client.list_buckets()["Buckets"]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"])
        for item in (item for page in pages for item in page.get("Contents", [])):
            client.download_file(bucket["Name"], item["Key"], str(partial / str(len(index))))
            index.append({"bucket": bucket["Name"], "key": item["Key"]})
    (partial / INDEX).write_text(json.dumps(index), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def bring_back(client: Any, folder: Path) -> None:
    """Uploads what was put away, if anything was; its buckets are there."""
    if not (folder / INDEX).exists():
        return
    for number, one in enumerate(json.loads((folder / INDEX).read_text(encoding="utf-8"))):
        client.upload_file(str(folder / str(number)), one["bucket"], one["key"])
