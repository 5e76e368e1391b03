"""What a photo database is made of: files of a folder or S3 prefix, or WebDataset shards.

Images are read in chunks, by processes that know nothing else, so that a database of any size
passes through a bounded memory. A shard is one chunk, whatever it holds.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from components.core.errors import UserError
from components.core.materials.photos import SUFFIXES, decode_photo
from components.core.platform.storage import listing, open_stream

END = 1024
"""Bytes of zeros that end a tar file."""


@dataclass(frozen=True)
class Chunk:
    """Images that are read together: files below `root`, or all of the shard `archive` there."""

    root: str
    names: tuple[str, ...] = ()
    archive: str = ""


@dataclass(frozen=True)
class Decoded:
    """images (N, size, size, 3) uint8, one for each of `names`, all from one `archive` or from
    files (""); rejected: (name, reason)."""

    images: NDArray[np.uint8]
    names: list[str]
    rejected: list[tuple[str, str]]
    archive: str = ""


def chunks_of(uri: str, size: int) -> list[Chunk]:
    """Chunks of up to `size` files, in the order of their names; UserError if there is no image."""
    root = uri.rstrip("/")
    files, archives = [], []
    for entry in listing(uri):
        name = PurePosixPath(entry.name)
        if name.name.startswith("."):
            continue
        if name.suffix.lower() in SUFFIXES:
            files.append(entry.name)
        elif name.suffix.lower() == ".tar":
            archives.append(entry.name)
    if not files and not archives:
        raise UserError(
            f"{uri}: no image found; expected files ending in {', '.join(SUFFIXES)}, or .tar "
            "shards that hold such files"
        )
    files.sort()
    parts = [tuple(files[start : start + size]) for start in range(0, len(files), size)]
    return [
        *(Chunk(root, names=part) for part in parts),
        *(Chunk(root, archive=archive) for archive in sorted(archives)),
    ]


def decoder(size: int) -> Callable[[Chunk], Decoded]:
    """Returns what decodes a chunk to squares of `size` pixels; called in the process."""
    return lambda chunk: decode(chunk, size)


def decode(chunk: Chunk, size: int, wanted: Collection[str] | None = None) -> Decoded:
    """The images of a chunk that can be used, or those of the `wanted` names."""
    images, names, rejected = [], [], []
    for name, content in contents(chunk, wanted):
        try:
            images.append(decode_photo(content(), size))
            names.append(name)
        except UserError as error:
            rejected.append((name, str(error)))
    stacked = np.stack(images) if images else np.zeros((0, size, size, 3), np.uint8)
    return Decoded(stacked, names, rejected, chunk.archive)


def contents(
    chunk: Chunk, wanted: Collection[str] | None = None
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(name, what reads it) of the images of a chunk; a member of a shard is "shard/member"."""
    if not chunk.archive:
        for name in chunk.names:
            if wanted is None or name in wanted:
                yield name, lambda name=name: _read(f"{chunk.root}/{name}")  # type: ignore[misc]
        return
    yield from _members(chunk, wanted)


def _members(
    chunk: Chunk, wanted: Collection[str] | None
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The images of a shard, read from front to back; its damage counts as one more of them."""
    with open_stream(f"{chunk.root}/{chunk.archive}") as stream:
        watched = _Watched(stream)
        try:
            with tarfile.open(fileobj=cast(Any, watched), mode="r|*") as archive:
                for member in archive:
                    name = f"{chunk.archive}/{member.name}"
                    if not member.isfile() or not name.lower().endswith(SUFFIXES):
                        continue
                    if wanted is None or name in wanted:
                        yield name, partial(_extracted, archive, member)
        except tarfile.TarError as error:
            yield chunk.archive, _damaged(f"damaged shard ({error})")
            return
    # tarfile takes a shard that was cut off for one that ends there; a whole one ends in zeros.
    if watched.tail.strip(b"\0") and not watched.packed:
        yield chunk.archive, _damaged("incomplete shard")


class _Watched:
    """Keeps the `tail` of what is read; `packed` if it is a compressed file."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.tail, self.packed = stream, b"", False

    def read(self, size: int = -1) -> bytes:
        content = self.stream.read(size)
        if not self.tail:
            self.packed = content[:2] in (b"\x1f\x8b", b"BZ", b"\xfd7")
        self.tail = (self.tail + content)[-END:]
        return content


def _extracted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    try:
        file = archive.extractfile(member)
        return file.read() if file is not None else b""
    except tarfile.TarError as error:
        raise UserError(f"damaged shard ({error})") from error


def _damaged(reason: str) -> Callable[[], bytes]:
    def read() -> bytes:
        raise UserError(reason)

    return read


def _read(uri: str) -> bytes:
    with open_stream(uri) as stream:
        return stream.read()
