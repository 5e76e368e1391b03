"""How the images of tasks reach the annotator's browser.

`Inline` puts them into the tasks: nothing to set up, at the price of large tasks. `LocalFiles`
writes them into a folder that Label Studio serves on the same machine. `S3Images` puts them into
a bucket, from which Label Studio hands out presigned addresses; the pictures then never pass
through it, unless browsers cannot reach the bucket's server. All of them store PNG: the artefacts
of JPEG would be judged too.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from PIL import Image

from components.core.errors import UserError
from components.core.materials.files import write_whole
from labeling.annotations import Task

FOLDER = "realmat"
"""Below the folder that Label Studio serves, which itself it refuses as a storage."""
THREADS = 16
PRESIGN = "LABEL_STUDIO_S3_PRESIGN"


class ImageStore(Protocol):
    """Where the images of tasks lie."""

    def put(self, tasks: Sequence[Task]) -> list[str]:
        """Store the images that are not there yet; their addresses as tasks name them."""
        ...

    def attach(self, client: Any, project: int) -> None:
        """Let the project read the images; doing it again changes nothing."""
        ...


class Inline:
    """Data addresses inside the tasks."""

    def put(self, tasks: Sequence[Task]) -> list[str]:
        """The images as data addresses."""
        with ThreadPoolExecutor(THREADS) as pool:
            files = pool.map(png, tasks)
            return [f"data:image/png;base64,{base64.b64encode(file).decode()}" for file in files]

    def attach(self, client: Any, project: int) -> None:
        """Nothing is needed."""


class LocalFiles:
    """Files below `root`, the folder that the server's LOCAL_FILES_DOCUMENT_ROOT names."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, tasks: Sequence[Task]) -> list[str]:
        """Write the files; Label Studio serves them to those who may see the project."""
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(self._put, tasks))

    def _put(self, task: Task) -> str:
        name = f"{FOLDER}/{task.key}.png"
        if not (self.root / name).exists():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.root / name, png(task))
        return f"/data/local-files/?d={quote(name)}"

    def attach(self, client: Any, project: int) -> None:
        """Add the folder to the project's storages."""
        path = str(self.root.resolve() / FOLDER)
        (self.root / FOLDER).mkdir(parents=True, exist_ok=True)
        there = client.import_storage.local.list(project=project)
        if not any(storage.path == path for storage in there):
            client.import_storage.local.create(project=project, path=path, use_blob_urls=True)


class S3Images:
    """Objects below `s3://bucket/prefix`.

    This program writes with the AWS_* variables' rights. Label Studio reads with its own, or with
    the key pair in LABEL_STUDIO_S3_ACCESS_KEY_ID and LABEL_STUDIO_S3_SECRET_ACCESS_KEY, which need
    not be allowed more than to read the prefix. Presigned addresses lead browsers to
    AWS_ENDPOINT_URL; where the cluster alone knows that name, LABEL_STUDIO_S3_PRESIGN=false has
    Label Studio hand the images through.
    """

    def __init__(self, uri: str, client: Any, environment: Mapping[str, str] = os.environ) -> None:
        parts = urlsplit(uri)
        self.bucket, self.prefix = parts.netloc, parts.path.strip("/")
        self.client = client
        self.environment = environment
        self.presign = _yes_or_no(environment, PRESIGN)

    def put(self, tasks: Sequence[Task]) -> list[str]:
        """Upload what is missing, several at a time."""
        names = [f"{self.prefix}/{task.key}.png".lstrip("/") for task in tasks]
        there = self._listing()
        missing = {n: t for n, t in zip(names, tasks, strict=True) if n not in there}
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._upload, missing, missing.values()))
        return [f"s3://{self.bucket}/{name}" for name in names]

    def attach(self, client: Any, project: int) -> None:
        """Add the prefix to the project's storages; presigned addresses last an hour."""
        title = f"realmat {self.prefix}"
        if any(s.title == title for s in client.import_storage.s3.list(project=project)):
            return
        given = {
            "aws_access_key_id": self.environment.get("LABEL_STUDIO_S3_ACCESS_KEY_ID"),
            "aws_secret_access_key": self.environment.get("LABEL_STUDIO_S3_SECRET_ACCESS_KEY"),
            "s3endpoint": self.environment.get("AWS_ENDPOINT_URL"),
            "region_name": self.environment.get("AWS_DEFAULT_REGION"),
        }
        client.import_storage.s3.create(
            project=project, title=title, bucket=self.bucket, prefix=self.prefix,
            presign=self.presign, presign_ttl=60, use_blob_urls=True,
            **{name: value for name, value in given.items() if value},
        )  # fmt: skip

    def _listing(self) -> set[str]:
        pages = self.client.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/".lstrip("/"))
        return {item["Key"] for page in found for item in page.get("Contents", [])}

    def _upload(self, name: str, task: Task) -> None:
        self.client.put_object(
            Bucket=self.bucket, Key=name, Body=png(task), ContentType="image/png"
        )


def _yes_or_no(environment: Mapping[str, str], name: str) -> bool:
    """A setting that is true unless it is said to be false."""
    said = environment.get(name, "true")
    if said not in ("true", "false"):
        raise UserError(f"{name}={said} is neither true nor false: give one of these words.")
    return said == "true"


def image_store(images: str) -> ImageStore:
    """The store that an address's `images` names; UserError if it names none."""
    if images == "inline":
        return Inline()
    if images.startswith("local:") and images != "local:":
        return LocalFiles(Path(images.removeprefix("local:")).expanduser())
    if images.startswith("s3://") and urlsplit(images).netloc:
        import boto3

        return S3Images(images, boto3.client("s3"))
    raise UserError(f"images={images} is unknown: use inline, local:FOLDER or s3://BUCKET/PREFIX.")


def png(task: Task) -> bytes:
    """The image of a task as a PNG file."""
    buffer = io.BytesIO()
    # The fastest compression: a third larger than the smallest, in a tenth of the time.
    Image.fromarray(task.image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
