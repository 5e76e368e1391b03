"""What all tasks of `photo_embedding` made, as one database to search."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.core.errors import UserError
from components.core.materials.photo_chunks import Chunk, Decoded, decode, following, root_of
from components.core.platform.artifacts import open_artifact
from components.photo_retrieval.index import Features

TOGETHER = 256
"""Files read again at a time."""


class Joined:
    """Arrays (N_i, D) on disk as one of (sum N_i, D), without a copy; rows are read as asked."""

    def __init__(self, parts: Sequence[Features]) -> None:
        self.parts = parts
        self.starts = np.cumsum([0, *map(len, parts)])
        self.shape = (int(self.starts[-1]), parts[0].shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Sequence[int] | NDArray[np.int64]) -> NDArray[Any]:
        wanted: NDArray[np.int64]
        if isinstance(rows, slice):
            wanted = np.arange(*rows.indices(len(self)))
        else:
            wanted = np.asarray(rows, np.int64)
        found = np.empty((len(wanted), self.shape[1]), np.asarray(self.parts[0][:0]).dtype)
        place = np.searchsorted(self.starts, wanted, side="right") - 1
        for number in np.unique(place):
            mine = place == number
            found[mine] = self.parts[number][wanted[mine] - self.starts[number]]
        return found


@dataclass(frozen=True)
class Database:
    """The parts (folders of "photo-features"), in their order."""

    folders: Sequence[Path]

    @classmethod
    def open(cls, folders: Sequence[Path], clip: str) -> Database:
        """UserError if the features are not of the model `clip`."""
        found = cls([open_artifact(folder, "photo-features") for folder in folders])
        if found.about["clip"] != clip:
            raise UserError(
                f"photo_retrieval.clip is {clip!r}, but the photographs were embedded with "
                f"{found.about['clip']!r}: set shared.clip, so that both stages use one model"
            )
        return found

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """Where the photographs lie, their side in pixels, the CLIP model."""
        return dict(json.loads((self.folders[0] / "database.json").read_text("utf-8")))

    @cached_property
    def features(self) -> Joined:
        """(N, D) float16."""
        files = [folder / "features.npy" for folder in self.folders]
        return Joined([np.load(file, mmap_mode="r", allow_pickle=False) for file in files])

    @cached_property
    def rejected(self) -> list[dict[str, str]]:
        """{"source", "reason"} of what could not be used."""
        texts = [(folder / "rejected.jsonl").read_text("utf-8") for folder in self.folders]
        return [json.loads(line) for text in texts for line in text.splitlines()]

    def __len__(self) -> int:
        return len(self.features)

    def check(self, rejected_share: float) -> None:
        """UserError if more images than this share are unusable, or all of them."""
        uri, total = self.about["photos"], len(self) + len(self.rejected)
        if len(self.rejected) > rejected_share * total:
            first = self.rejected[0]
            raise UserError(
                f"{uri}: {len(self.rejected)} of {total} images cannot be used (for example "
                f"{first['source']}: {first['reason']}), more than the share of "
                f"{rejected_share:g} that photo_retrieval.rejected_share allows; mend or remove "
                "them"
            )
        if not len(self):
            raise UserError(f"{uri}: none of {total} images can be used; give photographs")

    def sources(self, items: Sequence[int]) -> list[str]:
        """Where these came from: names below `photos` (addresses if these are several), or of the
        stand-in."""
        return [name for name, _ in self._lines(items)]

    def images(self, items: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """(position in `items`, image) of these, in any order; read again from where they lie."""
        if not self.about["photos"]:
            yield from self._kept(items)
            return
        rows: dict[str, dict[str, int]] = defaultdict(dict)
        for row, (name, archive) in enumerate(self._lines(items)):
            rows[archive][name] = row
        for archive, wanted in rows.items():
            read: set[str] = set()
            for decoded in self._decoded(archive, sorted(wanted)):
                read.update(decoded.names)
                for name, image in zip(decoded.names, decoded.images, strict=True):
                    yield wanted[name], image
            gone = wanted.keys() - read
            if gone:
                raise UserError(
                    f"{min(gone)} was there when {self.about['photos']} was embedded and cannot be "
                    "read any more: leave the photographs as they are, and start again"
                )

    def _decoded(self, archive: str, names: Sequence[str]) -> Iterator[Decoded]:
        """Images of these names, `TOGETHER` at a time."""
        root, size = root_of(self.about["photos"]), int(self.about["size"])
        if not archive:
            for start in range(0, len(names), TOGETHER):
                yield decode(Chunk(root, tuple(names[start : start + TOGETHER])), size)
            return
        chunk, wanted = Chunk(root, archive=archive, limit=TOGETHER), frozenset(names)
        while True:
            decoded = decode(chunk, size, wanted)
            yield decoded
            if not decoded.rest:
                return
            chunk = following(chunk, decoded.rest)

    def _kept(self, items: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for number, rows in self._by_part(items).items():
            file = self.folders[number] / "images.npy"
            kept = np.load(file, mmap_mode="r", allow_pickle=False)
            for row in rows:
                yield row, np.asarray(kept[items[row] - self.features.starts[number]])

    def _lines(self, items: Sequence[int]) -> list[tuple[str, str]]:
        """(name, archive) of images; a few lines of the tables are in memory at a time."""
        found: list[tuple[str, str]] = [("", "")] * len(items)
        for number, rows in self._by_part(items).items():
            places = np.array([items[row] for row in rows]) - self.features.starts[number]
            order = np.argsort(places, kind="stable")
            start = 0
            for batch in pq.ParquetFile(self.folders[number] / "images.parquet").iter_batches():
                low, high = np.searchsorted(places[order], [start, start + len(batch)])
                inside = order[low:high]
                taken = batch.take((places[inside] - start).tolist()).to_pydict()
                for place, name, archive in zip(
                    inside.tolist(), taken["name"], taken["archive"], strict=True
                ):
                    found[rows[place]] = (name, archive)
                start += len(batch)
        return found

    def _by_part(self, items: Sequence[int]) -> dict[int, list[int]]:
        """Positions in `items` by the part that holds the image."""
        numbers = np.searchsorted(self.features.starts, np.asarray(items), side="right") - 1
        parts: dict[int, list[int]] = defaultdict(list)
        for row, number in enumerate(numbers.tolist()):
            parts[number].append(row)
        return parts
