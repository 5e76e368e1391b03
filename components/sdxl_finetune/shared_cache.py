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
from threading import Thread

from components.core.diffusion.model import TextToImage
from components.core.errors import UserError
from components.core.platform.archive import archive_uri, require_archive
from components.core.platform.storage import download, has_file, open_stream, upload
from components.sdxl_finetune.cache import ADDRESS, GRIDS, INDEX, PROMPTS, prepare, write_whole
from components.sdxl_finetune.cache_key import cache_key
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import build_cache
from components.sdxl_finetune.encode import JOB, write_job
from components.sdxl_finetune.grids import GridSet

SHARED = "caches"
ARCHIVED = "sdxl_finetune-cache"
UNUSED_SECONDS = 30 * 24 * 3600


def share_cache(
    dataset: Sequence[Path],
    model: TextToImage,
    config: Config,
    work: Path,
    name: str,
    *,
    later: bool = False,
) -> None:
    """Make `work/name` a link to the complete cache of this data and model.

    later: what has to be encoded is left to the training processes (`encode_in_rank`), and the
    archive to an `Archiver`.
    """
    key = cache_key(dataset, model, config)
    uri = archive_uri(ARCHIVED, key[:32])
    if config.stream_cache:
        require_archive("sdxl_finetune.stream_cache")
    folder = work.parent / SHARED / key[:32]
    here = (folder / INDEX).exists()
    archived = bool(uri) and not here and has_file(f"{uri}/{INDEX}")
    if config.stream_cache and archived:
        folder = folder.with_name(f"{folder.name}-streamed")
        prepare_streaming(folder, uri, key)
    else:
        if archived:
            # Shards that turn out to be cut or of another cache are made again below.
            download(uri, folder)
            (folder / INDEX).unlink()
        if later and not prepare(folder, key):
            GridSet.open(dataset, model.image_size)  # what is wrong with it is said at once
            write_job(folder, dataset, config, key)
        else:
            build_cache(dataset, model, config, folder, key)
            archive_cache(folder)
    os.utime(folder)
    remove_unused(folder.parent)
    work.mkdir(parents=True, exist_ok=True)
    link = work / name
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)  # a cache that was copied or made here
    link.unlink(missing_ok=True)
    link.symlink_to(Path("..", SHARED, folder.name), target_is_directory=True)


def archive_cache(folder: Path) -> None:
    """Copy a complete cache to the archive, if there is one and it does not lie there."""
    uri = archive_uri(ARCHIVED, folder.name)
    if uri and not has_file(f"{uri}/{INDEX}"):
        upload(folder, uri, last=INDEX)


class Archiver:
    """Archives a cache as soon as the training processes have completed it, while they train.

    cache: the link to it. If this process ends before, the next attempt archives it.
    """

    def __init__(self, cache: Path) -> None:
        self._folder = cache.resolve()
        self._waits = not (cache / INDEX).exists()
        self._copying: Thread | None = None
        self._failure: UserError | None = None

    def look(self) -> None:
        """Begin if it is time to."""
        if self._waits and (self._folder / INDEX).exists():
            self._waits = False
            (self._folder / JOB).unlink(missing_ok=True)
            self._copying = Thread(target=self._archive, name="archive", daemon=True)
            self._copying.start()

    def finish(self) -> None:
        """Wait for the copy; UserError if it failed."""
        if self._copying is not None:
            self._copying.join()
        if self._failure is not None:
            raise self._failure

    def _archive(self) -> None:
        try:
            archive_cache(self._folder)
        except UserError as error:
            self._failure = error


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
