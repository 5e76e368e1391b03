"""Where files come from and go to: local folders, `file://` and `s3://`.

Stages work on local paths only. A remote folder is downloaded once into a cache folder, and what
is there already with the same size and ETag is not downloaded again. Credentials and the endpoint
come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …), as boto3 reads them.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import unquote, urlparse

from components.core.errors import UserError
from components.core.platform.artifacts import hash_text
from components.core.platform.s3_parts import S3Parts
from components.core.platform.s3_stream import ATTEMPTS, S3Stream

CATALOGUES = ("ambientcg", "matsynth", "polyhaven")
"""Schemes of public catalogues, which `components.core.catalogues` opens."""
_CHECK = "check the bucket's name, the AWS_* variables"


class Entry(NamedTuple):
    """One file of a listing: its name below the URI, size in bytes and a mark of its version."""

    name: str
    size: int
    mark: str


def addresses(uri: str) -> list[str]:
    """The addresses in a list with commas: whole addresses and absolute paths.

    Other commas belong to a name, as do those of a path that exists.
    """
    if "://" not in uri and Path(uri).expanduser().exists():
        return [uri] if uri else []
    return [one for one in re.split(r",\s*(?=/|[a-z][a-z0-9+.-]*://)", uri.strip()) if one]


def local_path(uri: str, cache: Path | None = None) -> Path:
    """Returns a local file or folder with what lies at `uri`, downloading it if needed."""
    scheme = urlparse(uri).scheme
    if scheme == "s3":
        return _download(uri, cache or cache_folder("storage"))
    path = _file_path(uri, scheme)
    if not path.exists():
        raise UserError(f"{uri} does not exist: give a file or folder that can be read.")
    return path


def fingerprint(uri: str) -> str:
    """Returns a hash of a listing (names, sizes, times) that changes when the files change.

    The empty URI, which stands for embedded data, has the empty fingerprint; the address of a
    public catalogue names its items by count and seed, so it is its own. So is that of a labelling
    project, which is asked at every run.
    """
    if not uri:
        return ""
    if len(listed := addresses(uri)) > 1:
        return hash_text("\n".join(map(fingerprint, listed)))
    if urlparse(uri).scheme.startswith("label-studio") or urlparse(uri).scheme in CATALOGUES:
        return hash_text(uri)
    return hash_text(
        "\n".join(f"{entry.name}\0{entry.size}\0{entry.mark}" for entry in listing(uri))
    )


def open_stream(uri: str, start: int = 0) -> BinaryIO:
    """Opens a file for reading from front to back, without a copy on this machine.

    start: the first byte to read. Reading raises `Unreachable` where an object's store, or the disk
    of a file, does not answer.
    """
    if urlparse(uri).scheme == "s3":
        bucket, key = _bucket_and_prefix(uri)
        return cast(BinaryIO, S3Stream(_s3(), bucket, key, start=start))
    try:
        file = local_path(uri).open("rb")
        file.seek(start)
    except PermissionError as error:
        raise UserError(f"{uri} cannot be read ({error.strerror}): make it readable.") from error
    return file


def open_parts(uri: str, threads: int) -> S3Parts:
    """For reading parts of the objects below an S3 address in so many threads at once."""
    bucket, prefix = _bucket_and_prefix(uri)
    return S3Parts(_s3(threads), bucket, f"{prefix}/" if prefix else "")


def upload(folder: Path, uri: str, last: str = "") -> None:
    """Copies a folder's files to `s3://bucket/prefix`, each with its relative name.

    The file named `last` goes last: where it lies, all the others do.
    """
    from boto3.exceptions import S3UploadFailedError

    bucket, prefix = _bucket_and_prefix(uri)
    client = _s3()
    files = (path for path in folder.rglob("*") if path.is_file())
    try:
        for path in sorted(files, key=lambda path: (path == folder / last, path)):
            name = path.relative_to(folder).as_posix()
            client.upload_file(str(path), bucket, f"{prefix}/{name}" if prefix else name)
    except (*_s3_errors(), S3UploadFailedError) as error:
        raise UserError(
            f"{uri} cannot be written ({error}): {_CHECK} and the right to write there."
        ) from error


def has_file(uri: str) -> bool:
    """Whether exactly this S3 object exists."""
    from botocore.exceptions import ClientError

    bucket, key = _bucket_and_prefix(uri)
    try:
        _s3().head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            return False
        raise UserError(f"{uri} cannot be looked up ({error}): {_CHECK}.") from error
    except _s3_errors() as error:
        raise UserError(f"{uri} cannot be looked up ({error}): {_CHECK}.") from error
    return True


def _file_path(uri: str, scheme: str) -> Path:
    if scheme == "file":
        return Path(unquote(urlparse(uri).path))
    if "://" in uri:
        raise UserError(f"{uri} cannot be opened: use a local path, file:// or s3://.")
    return Path(uri).expanduser()


def listing(uri: str) -> Iterator[Entry]:
    """The files below `uri`, or the one that lies there, with names relative to it."""
    scheme = urlparse(uri).scheme
    if scheme == "s3":
        yield from _list_s3(uri)
        return
    path = local_path(uri)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        status = file.stat()
        name = file.name if file == path else file.relative_to(path).as_posix()
        yield Entry(name, status.st_size, str(status.st_mtime_ns))


def _list_s3(uri: str) -> Iterator[Entry]:
    bucket, prefix = _bucket_and_prefix(uri)
    base = f"{prefix}/" if prefix else ""
    found = False
    try:
        for page in _s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=base):
            for item in page.get("Contents", []):
                found = True
                yield Entry(item["Key"].removeprefix(base), item["Size"], item["ETag"].strip('"'))
    except _s3_errors() as error:
        raise UserError(
            f"{uri} cannot be listed ({error}): {_CHECK} and the right to read it."
        ) from error
    if not found:
        raise UserError(f"{uri} holds no file: give a prefix below which files lie.")


def _download(uri: str, cache: Path) -> Path:
    folder = cache / hash_text(uri)[:16]
    download(uri, folder)
    return folder


def download(uri: str, folder: Path) -> None:
    """Copies what lies below an S3 address into a folder; what is there unchanged stays."""
    bucket, prefix = _bucket_and_prefix(uri)
    client = _s3()
    for entry in _list_s3(uri):
        target = folder / entry.name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{uri} holds a key that leaves its folder ({entry.name}): rename it.")
        mark = target.with_name(f".{target.name}.etag")
        if entry.name.endswith("/"):
            continue
        if target.exists() and mark.exists() and mark.read_text() == entry.mark:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        key = f"{prefix}/{entry.name}" if prefix else entry.name
        try:
            client.download_file(bucket, key, str(partial))
        except _s3_errors() as error:
            raise UserError(f"{uri} cannot be read ({error}): {_CHECK}.") from error
        partial.rename(target)
        mark.write_text(entry.mark)


def _bucket_and_prefix(uri: str) -> tuple[str, str]:
    parts = urlparse(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise UserError(f"{uri} is not of the form s3://bucket/prefix: give such an address.")
    return parts.netloc, parts.path.strip("/")


def cache_folder(name: str) -> Path:
    """Where downloaded files of one kind are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "realmat" / name


def _s3(connections: int = 10) -> Any:
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "max_attempts": ATTEMPTS}
    return boto3.client("s3", config=Config(retries=retries, max_pool_connections=connections))


def _s3_errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError

    return (BotoCoreError, ClientError)
