"""Where caches lie, so that a run with other training settings finds the one of before.

All runs that share a store keep their caches beside their work folders, by key. With an archive
(`REALMAT_ARCHIVE`) they are copied to it too, and machines without a folder in common fetch them
instead of encoding. A cache that no run has used for a month is removed.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from components.core.diffusion.model import TextToImage
from components.core.platform.archive import archive_uri
from components.core.platform.storage import download, has_file, upload
from components.sdxl_finetune.cache import INDEX
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
    folder = work.parent / SHARED / key[:32]
    uri = archive_uri(ARCHIVED, key[:32])
    archived = bool(uri) and has_file(f"{uri}/{INDEX}")
    if archived and not (folder / INDEX).exists():
        # Shards that turn out to be cut or of another cache are made again below.
        download(uri, folder)
        (folder / INDEX).unlink()
    build_cache(dataset, model, config, folder, key)
    os.utime(folder)
    if uri and not archived:
        upload(folder, uri, last=INDEX)
    remove_unused(folder.parent)
    work.mkdir(parents=True, exist_ok=True)
    link = work / name
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)  # a cache that was copied or made here
    link.unlink(missing_ok=True)
    link.symlink_to(Path("..", SHARED, folder.name), target_is_directory=True)


def remove_unused(caches: Path, now: float | None = None) -> None:
    """Remove the caches that nobody has used since `UNUSED_SECONDS` before `now`."""
    oldest = (time.time() if now is None else now) - UNUSED_SECONDS
    for folder in caches.iterdir():
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder)
