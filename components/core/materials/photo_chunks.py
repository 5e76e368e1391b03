"""What a photo database is made of: files of folders or S3 prefixes, or WebDataset shards.

Images are read in chunks, by processes that know nothing else, so that a database of any size
passes through a bounded memory. How many images a shard holds is known when it has been read: it
begins as one chunk, and whoever reads it says at which byte the next one begins (`following`).
A store that does not answer is `Unreachable`, which ends the reading; only what has been read and
cannot be used is rejected.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import urlparse

import numpy as np
from numpy.typing import NDArray

from components.core.errors import Unreachable, UserError
from components.core.materials.photos import SUFFIXES, decode_photo
from components.core.platform.storage import addresses, listing, local_path, open_stream

END = 1024
"""Bytes of zeros that end a tar file."""
NOWHERE = -1
"""Where damage begins, or an image of a compressed shard: no reading can begin there."""


@dataclass(frozen=True)
class Chunk:
    """Images that are read together: files below `root`, or of the shard `archive` there up to
    `limit` images from the byte `start` on (0: all). Without a root, names are addresses."""

    root: str
    names: tuple[str, ...] = ()
    archive: str = ""
    start: int = 0
    limit: int = 0


@dataclass(frozen=True)
class Decoded:
    """images (N, size, size, 3) uint8, one for each of `names`, all from one `archive` or from
    files (""); rejected: (name, reason). rest: where the shard goes on, 0 if it does not."""

    images: NDArray[np.uint8]
    names: list[str]
    rejected: list[tuple[str, str]]
    archive: str = ""
    rest: int = 0


@dataclass(frozen=True)
class Content:
    """An image of a chunk: its name, what reads it, and at which byte of its shard it begins."""

    name: str
    read: Callable[[], bytes]
    start: int = 0


def chunks_of(uri: str, size: int) -> list[Chunk]:
    """Chunks of up to `size` images, in the order of their names, a shard's first one standing for
    all of it; UserError if there is no image.

    uri: an address, or several with commas between them, whose images are taken together.
    """
    root = root_of(uri)
    places = list(dict.fromkeys(addresses(uri)))
    return [chunk for place in places for chunk in _chunks_of(place, root, size)]


def root_of(uri: str) -> str:
    """What the names of a database's images are below; "" for several addresses, of which none is
    below another: there an image's name is its address."""
    places = set(addresses(uri))
    return places.pop().rstrip("/") if len(places) == 1 else ""


def _chunks_of(uri: str, root: str, size: int) -> list[Chunk]:
    if urlparse(uri).scheme != "s3" and local_path(uri).is_file():
        raise UserError(f"{uri}: expected a folder of photographs or of .tar shards")
    below = "" if root else f"{uri.rstrip('/')}/"
    files, archives = [], []
    for entry in listing(uri):
        name = PurePosixPath(entry.name)
        if name.name.startswith("."):
            continue
        if name.suffix.lower() in SUFFIXES:
            files.append(f"{below}{entry.name}")
        elif name.suffix.lower() == ".tar":
            archives.append(f"{below}{entry.name}")
    if not files and not archives:
        raise UserError(
            f"{uri}: no image found; expected files ending in {', '.join(SUFFIXES)}, or .tar "
            "shards that hold such files"
        )
    files.sort()
    parts = [tuple(files[start : start + size]) for start in range(0, len(files), size)]
    return [
        *(Chunk(root, names=part) for part in parts),
        *(Chunk(root, archive=archive, limit=size) for archive in sorted(archives)),
    ]


def decoder(size: int) -> Callable[[Chunk], Decoded]:
    """Returns what decodes a chunk to squares of `size` pixels; called in the process."""
    return lambda chunk: decode(chunk, size)


def following(chunk: Chunk, rest: int) -> Chunk:
    """The chunk that comes after one whose `Decoded.rest` is known."""
    return replace(chunk, start=rest)


def decode(chunk: Chunk, size: int, wanted: Collection[str] | None = None) -> Decoded:
    """The images of a chunk that can be used, or those of the `wanted` names."""
    images, names, rejected, rest = [], [], [], 0
    for place, content in enumerate(contents(chunk, wanted)):
        if _beyond(chunk, place, content):
            rest = content.start
            break
        try:
            images.append(decode_photo(content.read(), size))
            names.append(content.name)
        except Unreachable:
            raise
        except UserError as error:
            rejected.append((content.name, str(error)))
    stacked = np.stack(images) if images else np.zeros((0, size, size, 3), np.uint8)
    return Decoded(stacked, names, rejected, chunk.archive, rest)


def singles(chunk: Chunk) -> tuple[dict[str, Chunk], int]:
    """A chunk for each image of a chunk, by its name, and where the shard goes on; decodes none.

    A compressed shard has none: nothing can be read but all of it.
    """
    if not chunk.archive:
        return {name: Chunk(chunk.root, (name,)) for name in chunk.names}, 0
    found: dict[str, Chunk] = {}
    for place, content in enumerate(contents(chunk)):
        if _beyond(chunk, place, content):
            return found, content.start
        if content.start != NOWHERE:
            found[content.name] = replace(chunk, start=content.start, limit=1)
    return found, 0


def _beyond(chunk: Chunk, place: int, content: Content) -> bool:
    """Whether image number `place` is the first one after a chunk."""
    return 0 < chunk.limit <= place and content.start != NOWHERE


def contents(chunk: Chunk, wanted: Collection[str] | None = None) -> Iterator[Content]:
    """The images of a chunk, and the first one after it; a member of a shard is "shard/member"."""
    if not chunk.archive:
        for name in chunk.names:
            if wanted is None or name in wanted:
                yield Content(name, partial(_read, _address(chunk, name)))
        return
    try:
        yield from _members(chunk, wanted)
    except OSError as error:
        raise _lost(_address(chunk, chunk.archive), error) from error


def _address(chunk: Chunk, name: str) -> str:
    """Where a file of a chunk lies."""
    return f"{chunk.root}/{name}" if chunk.root else name


def _members(chunk: Chunk, wanted: Collection[str] | None) -> Iterator[Content]:
    """The images of a shard, read from front to back; its damage counts as one more of them."""
    with open_stream(_address(chunk, chunk.archive), chunk.start) as stream:
        watched = _Watched(stream)
        try:
            with tarfile.open(fileobj=cast(Any, watched), mode="r|*") as archive:
                for member in archive:
                    name = f"{chunk.archive}/{member.name}"
                    if not member.isfile() or not name.lower().endswith(SUFFIXES):
                        continue
                    if wanted is None or name in wanted:
                        start = NOWHERE if watched.packed else chunk.start + member.offset
                        yield Content(name, partial(_extracted, archive, member), start)
        except tarfile.TarError as error:
            yield Content(chunk.archive, _damaged(f"damaged shard ({error})"), NOWHERE)
            return
    # tarfile takes a shard that was cut off for one that ends there; a whole one ends in zeros.
    if watched.tail.strip(b"\0") and not watched.packed:
        yield Content(chunk.archive, _damaged("incomplete shard"), NOWHERE)


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
    try:
        with open_stream(uri) as stream:
            return stream.read()
    except OSError as error:
        raise _lost(uri, error) from error


def _lost(uri: str, error: OSError) -> Unreachable:
    """A disk that does not answer: the files that are there may be fine."""
    return Unreachable(
        f"{uri} cannot be read for now ({error}): check the disk or the network that it is on, and "
        "start again; nothing is lost."
    )
