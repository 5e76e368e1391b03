"""Grids with their captions, and renderings of them, as WebDataset tar shards with an index.

A sample KEY is `KEY.grid.png`, any number of `KEY.rendering0.png` … and `KEY.json` with caption,
category, source and split. `index.jsonl` beside the shards repeats each sample's words and says
where its files lie, so that training reads any grid at once, while a stream reads shard by shard.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.core.errors import UserError

Grid = NDArray[np.uint8]

SHARDS = "shards"
INDEX = "index.jsonl"
GRID = "grid.png"


@dataclass(frozen=True)
class Sample:
    """A grid (2R, 2R, 3), what is known about it, and renderings (S, S, 3) of its material."""

    key: str
    grid: Grid
    words: Mapping[str, str]
    renderings: Sequence[Grid] = ()


class ShardWriter:
    """Writes a shard sample by sample; use as a context manager. It has its name once finished.

    The same samples give the same bytes.
    """

    def __init__(self, file: Path) -> None:
        import webdataset

        self.file = file
        self._beside = file.with_name(f".{file.name}.partial")
        self._stream = self._beside.open("wb")
        # Owners and times would make two runs differ.
        self._tar = webdataset.TarWriter(self._stream, mtime=0, user="", group="", mode=0o644)
        self._lines: list[dict[str, Any]] = []

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def add(self, sample: Sample) -> None:
        """Write one more."""
        pictures = {GRID: sample.grid}
        pictures.update({f"rendering{n}.png": x for n, x in enumerate(sample.renderings)})
        files = {name: _png(picture) for name, picture in pictures.items()}
        words = json.dumps(dict(sample.words), ensure_ascii=False).encode()
        self._tar.write({"__key__": sample.key, **files, "json": words})
        self._lines.append({"key": sample.key, "shard": self.file.name, **sample.words})

    def finish(self) -> list[dict[str, Any]]:
        """Give the shard its name; returns its lines of the index."""
        self._tar.close()
        self._stream.close()
        for line, places in zip(self._lines, _places(self._beside), strict=True):
            line["files"] = places
        self._beside.replace(self.file)
        return self._lines


def write_shard(file: Path, samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Write a shard, whole or not at all; returns its lines of the index."""
    with ShardWriter(file) as writer:
        for sample in samples:
            writer.add(sample)
        return writer.finish()


def _places(file: Path) -> list[dict[str, list[int]]]:
    """Offset and length of every file, sample by sample."""
    found: dict[str, dict[str, list[int]]] = {}
    with tarfile.open(file) as archive:
        for member in archive:
            key, _, name = member.name.partition(".")
            found.setdefault(key, {})[name] = [member.offset_data, member.size]
    return list(found.values())


def _png(picture: Grid) -> bytes:
    buffer = io.BytesIO()
    # The lowest level: shards are read more often than kept, and maps hardly shrink further.
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def read_index(folder: Path) -> list[dict[str, Any]]:
    """The samples of one artifact, each with its "folder"; UserError if there is no index."""
    index = folder / INDEX
    if not index.is_file():
        raise UserError(f"{folder} has no {INDEX}: expected the output of synthetic_data.")
    with index.open(encoding="utf-8") as file:
        return [{**json.loads(line), "folder": str(folder)} for line in file]


class GridShards:
    """The shards of a data set, for reading any sample.

    entries: the samples' lines of the index; "folder" in each is the artifact that holds it.
    """

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self.entries = entries
        self._open: dict[Path, int] = {}

    @classmethod
    def open(cls, folders: Iterable[Path]) -> GridShards:
        """The artifact folders, which follow each other; UserError if one has no index."""
        return cls([entry for folder in folders for entry in read_index(folder)])

    def __len__(self) -> int:
        return len(self.entries)

    def grid(self, number: int) -> Grid:
        """Grid (2R, 2R, 3) of sample `number`."""
        return self.picture(number, GRID)

    def picture(self, number: int, name: str) -> Grid:
        """The picture KEY.name of sample `number`; UserError if the shard is damaged."""
        entry = self.entries[number]
        offset, length = entry["files"][name]
        shard = Path(entry["folder"], SHARDS, entry["shard"])
        content = os.pread(self._descriptor(shard), length, offset)
        try:
            with Image.open(io.BytesIO(content)) as image:
                return np.asarray(image.convert("RGB"))
        except OSError as error:
            raise UserError(
                f"{shard}: sample {entry['key']} is damaged; run synthetic_data again"
            ) from error

    def _descriptor(self, shard: Path) -> int:
        if shard not in self._open:
            try:
                self._open[shard] = os.open(shard, os.O_RDONLY)
            except FileNotFoundError as error:
                raise UserError(
                    f"{shard} is missing, but {INDEX} names it; run synthetic_data again"
                ) from error
        return self._open[shard]

    def close(self) -> None:
        """Close the shards."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


def stream(shard: BinaryIO) -> Iterator[Sample]:
    """The samples of an opened shard in its order, read once from front to back.

    For shards that are not on this machine: `platform.storage.open_stream` opens them.
    """
    with tarfile.open(fileobj=shard, mode="r|") as archive:
        key, files = "", dict[str, bytes]()
        for member in archive:
            sample, _, name = member.name.partition(".")
            if key and sample != key:
                yield _sample(key, files)
                files = {}
            content = archive.extractfile(member)
            if content is not None:
                key, files[name] = sample, content.read()
        if key:
            yield _sample(key, files)


def _sample(key: str, files: Mapping[str, bytes]) -> Sample:
    def picture(name: str) -> Grid:
        with Image.open(io.BytesIO(files[name])) as image:
            return np.asarray(image.convert("RGB"))

    names = (f"rendering{number}.png" for number in range(len(files)))
    renderings = [picture(name) for name in names if name in files]
    return Sample(key, picture(GRID), json.loads(files["json"]), renderings)
