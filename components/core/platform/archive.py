"""Finished artifacts in an object store, for machines that have no folder in common.

With `REALMAT_ARCHIVE=s3://bucket/prefix` every stage's artifact is copied to
`<archive>/<stage>/<key>/`, and a stage whose key lies there is fetched instead of run. The manifest
goes up last and names the content's hash, so half an upload or a damaged object is never taken for
an artifact.
"""

import os
import shutil
from pathlib import Path

from components.core.errors import UserError
from components.core.platform.artifacts import MANIFEST, hash_folder, put_in_place, read_manifest
from components.core.platform.storage import download, has_file, upload

ARCHIVE = "REALMAT_ARCHIVE"


def archive_uri(stage: str, key: str) -> str:
    """Where a stage's artifact is kept; "" when there is no archive."""
    base = os.environ.get(ARCHIVE, "").rstrip("/")
    if base and not base.startswith("s3://"):
        raise UserError(f"{ARCHIVE}={base} is no archive: give s3://bucket/prefix.")
    return f"{base}/{stage}/{key}" if base else ""


def require_archive(setting: str) -> None:
    """UserError unless there is an archive, which a setting that is switched on needs."""
    if not archive_uri("", ""):
        raise UserError(
            f"{setting} needs an archive: set {ARCHIVE}=s3://bucket/prefix, or {setting} to false."
        )


def fetch(stage: str, key: str, finished: Path) -> bool:
    """Puts the archived artifact at `finished`; False when there is none, or none that is whole."""
    uri = archive_uri(stage, key)
    if not uri or not has_file(f"{uri}/{MANIFEST}"):
        return False
    partial = finished.with_name(f".{finished.name}.fetched-{os.getpid()}")
    try:
        download(uri, partial)
        for mark in partial.rglob(".*.etag"):
            mark.unlink()
        expected = read_manifest(partial).content_hash
        if hash_folder(partial) != expected:
            print(f"{stage}: {uri} is damaged and is made again", flush=True)
            return False
        put_in_place(partial, finished)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def keep(stage: str, key: str, finished: Path, *, fresh: bool) -> str:
    """Copies an artifact to the archive, and returns its address there ("" without an archive).

    One that was reused is copied only if it is missing there; a fresh one replaces what may be
    damaged.
    """
    uri = archive_uri(stage, key)
    if uri and (fresh or not has_file(f"{uri}/{MANIFEST}")):
        upload(finished, uri, last=MANIFEST)
    return uri
