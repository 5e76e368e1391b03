"""Where caches lie, so that a run with other training settings finds the one of before.

All runs that share a store keep their caches beside their work folders, by key. With an archive
(`REALMAT_ARCHIVE`) they are copied to it too, and machines without a folder in common fetch them
instead of encoding, or read their rows from there (`stream_cache`). A cache that no run has used
for a month is removed.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from components.core.diffusion.model import TextToImage
from components.core.errors import UserError
from components.core.platform.archive import ARCHIVE, archive_uri
from components.core.platform.storage import download, has_file, open_stream, upload
from components.sdxl_finetune.cache import ADDRESS, GRIDS, INDEX, PROMPTS, prepare, write_whole
from components.sdxl_finetune.cache_key import cache_key
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import build_cache

SHARED = "caches"
ARCHIVED = "sdxl_finetune-cache"
UNUSED_SECONDS = 30 * 24 * 3600


def share_cache(
    dataset: Sequence[Path], model: TextToImage, config: Config, work: Path, name: str
) -> None:
    """Make `work/name` a link to the complete cache of this data and model."""
    key = cache_key(dataset, model, config)
    uri = archive_uri(ARCHIVED, key[:32])
    if config.stream_cache and not uri:
        raise UserError(
            f"sdxl_finetune.stream_cache is true, but there is no archive to stream from: set "
            f"{ARCHIVE}=s3://bucket/prefix, or stream_cache to false"
        )
    folder = work.parent / SHARED / key[:32]
    archived = bool(uri) and has_file(f"{uri}/{INDEX}")
    here = (folder / INDEX).exists()
    if config.stream_cache and archived and not here:
        folder = folder.with_name(f"{folder.name}-streamed")
        prepare_streaming(folder, uri, key)
    else:
        if archived and not here:
            # Shards that turn out to be cut or of another cache are made again below.
            download(uri, folder)
            (folder / INDEX).unlink()
        build_cache(dataset, model, config, folder, key)
        if uri and not archived:
            upload(folder, uri, last=INDEX)
    os.utime(folder)
    remove_unused(folder.parent)
    work.mkdir(parents=True, exist_ok=True)
    link = work / name
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)  # a cache that was copied or made here
    link.unlink(missing_ok=True)
    link.symlink_to(Path("..", SHARED, folder.name), target_is_directory=True)


def prepare_streaming(folder: Path, uri: str, key: str) -> None:
    """Make a folder of what is small in an archived cache, and the address of the rest."""
    prepare(folder, key)
    for name in (PROMPTS, GRIDS, INDEX):
        with open_stream(f"{uri}/{name}") as stream:
            content = stream.read().decode()
        if name == INDEX and json.loads(content)["key"] != key:
            raise UserError(
                f"{uri}/{INDEX} belongs to another cache: remove it and start again, which makes "
                "the cache anew"
            )
        write_whole(folder / name, content)
    write_whole(folder / ADDRESS, uri)


def remove_unused(caches: Path, now: float | None = None) -> None:
    """Remove the caches that nobody has used since `UNUSED_SECONDS` before `now`."""
    oldest = (time.time() if now is None else now) - UNUSED_SECONDS
    for folder in caches.iterdir():
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder)
