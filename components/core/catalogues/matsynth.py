"""MatSynth: several thousand PBR materials as Parquet files on the Hugging Face hub.

The set has over 400 GB, so files are read in place: first the small columns with names, classes
and licences, then, for a chosen material, only the row group that holds its maps.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet
from PIL import Image

from components.core.catalogues.download import Downloader
from components.core.catalogues.item import Item, categorised
from components.core.errors import UserError
from components.core.materials.pixels import UNREADABLE

HUB = "https://huggingface.co"
DATASET = "gvecchio/MatSynth"
MAPS = ("basecolor", "height", "roughness", "metallic", "normal")
DESCRIBED = ("name", "category", "metadata")
ALLOWED = re.compile(r"(CC0|CC[- ]BY(?![- ]?(NC|ND|SA)))([- ].*)?", re.IGNORECASE)
"""Licences that ask for nothing but attribution."""
READ_AHEAD = 1 << 20
"""Bytes: the small columns of a row group lie side by side."""


class Materials:
    """The materials with an `ALLOWED` licence, as maps of at most `size` × `size` pixels."""

    title = "MatSynth"

    def __init__(
        self, downloader: Downloader, size: int | str = 1024, split: str = "train", hub: str = HUB
    ) -> None:
        self.downloader, self.size, self.split, self.hub = downloader, int(size), split, hub
        self._places: dict[str, tuple[str, int, int]] = {}

    def items(self) -> list[Item]:
        """All materials that may be used and belong to one of the 16 categories."""
        listing = self.downloader.json(f"{self.hub}/api/datasets/{DATASET}/tree/main/data")
        found: dict[str, Item] = {}
        for entry in sorted(listing, key=lambda entry: str(entry["path"])):
            if not Path(entry["path"]).name.startswith(f"{self.split}-"):
                continue
            with self._open(entry["path"]) as file:
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group, columns=list(DESCRIBED)).to_pylist()
                    for row, described in enumerate(rows):
                        item = _item(described)
                        if item.category and ALLOWED.fullmatch(item.licence):
                            found[item.id] = item
                            self._places[item.id] = (entry["path"], group, row)
        return [found[identifier] for identifier in sorted(found)]

    def fetch(self, item: Item, folder: Path) -> None:
        """The item's maps as PNG files, reduced to `size`."""
        if item.id not in self._places:
            raise UserError(f"{item.id}: MatSynth has no such material in {self.split}")
        path, group, row = self._places[item.id]
        with self._open(path) as file:
            offered = [name for name in MAPS if name in file.schema_arrow.names]
            maps = file.read_row_group(group, columns=offered).slice(row, 1).to_pylist()[0]
        for name, image in maps.items():
            if image and image.get("bytes"):
                reduced = _reduced(image["bytes"], self.size, f"{item.id}: its map {name}")
                (folder / f"{item.id}_{name}.png").write_bytes(reduced)

    @contextmanager
    def _open(self, path: str) -> Iterator[parquet.ParquetFile]:
        """A Parquet file on the hub; what cannot be read of it is a UserError."""
        url = f"{self.hub}/datasets/{DATASET}/resolve/main/{path}"
        try:
            remote = io.BufferedReader(RemoteFile(self.downloader, url), READ_AHEAD)
            with parquet.ParquetFile(remote, pre_buffer=False) as file:
                yield file
        except (OSError, KeyError, pyarrow.ArrowException) as error:
            raise UserError(f"{url} is damaged ({error}); try again later") from error


class RemoteFile(io.RawIOBase):
    """A file on a server, read in place by requests for parts of it."""

    def __init__(self, downloader: Downloader, url: str) -> None:
        self.downloader, self.url = downloader, url
        self.size, self.place = downloader.size(url), 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The place of the next byte."""
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place counted from the start, from here or from the end."""
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}
        self.place = starts[whence] + offset
        return self.place

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the file goes."""
        stop = min(self.place + len(buffer), self.size)
        if stop <= self.place:
            return 0
        content = self.downloader.part(self.url, self.place, stop)
        buffer[: len(content)] = content
        self.place += len(content)
        return len(content)


def _item(row: dict[str, Any]) -> Item:
    metadata = row.get("metadata") or {}
    tags = [str(tag) for tag in metadata.get("tags") or ()]
    name = str(row["name"])
    return Item(
        id=re.sub(r"[^\w-]+", "_", name).strip("_") or "unnamed",
        name=" ".join(name.replace("_", " ").split()),
        # The set's 13 classes lack half of the 16 categories, so its tags come first.
        category=categorised(name, tags, [str(row.get("category") or "")]),
        page=str(metadata.get("link") or f"{HUB}/datasets/{DATASET}"),
        licence=str(metadata.get("license") or ""),
        authors=[str(author) for author in metadata.get("authors") or ()],
        tags=tags,
    )


def _reduced(content: bytes, size: int, name: str) -> bytes:
    """One map as an image file, reduced where it is larger; 16-bit heights stay 16-bit."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if max(image.size) <= size:
                return content
            stream = io.BytesIO()
            image.resize((size, size), Image.Resampling.BOX).save(stream, "PNG")
            return stream.getvalue()
    except (*UNREADABLE, KeyError) as error:
        raise UserError(f"{name} is no readable image; MatSynth holds it damaged") from error
