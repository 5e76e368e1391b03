"""MatSynth: several thousand PBR materials as Parquet files on the Hugging Face hub.

The set has over 400 GB, so files are read in place: first the small columns with names, classes
and licences, then, for a chosen material, only the row group that holds its maps, once for all
chosen materials in it. One run reads one state of the set, which every material names.
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
from components.core.catalogues.item import Item, answers_of, categorised
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
        self,
        downloader: Downloader,
        size: int | str = 1024,
        revision: str = "main",
        split: str = "train",
        hub: str = HUB,
    ) -> None:
        if not str(size).isdecimal() or not int(size):
            raise UserError(f"matsynth:// has no size {size}; expected pixels, such as size=1024")
        self.downloader, self.size, self.split, self.hub = downloader, int(size), split, hub
        self.revision = revision
        self._places: dict[str, tuple[str, int, int]] = {}
        self._group: tuple[tuple[str, int], list[dict[str, Any]]] = (("", 0), [])

    def items(self) -> list[Item]:
        """All materials that may be used and belong to one of the 16 categories."""
        api = f"{self.hub}/api/datasets/{DATASET}"
        with answers_of(self.title):
            # A branch moves: its newest commit now is what is read from here on.
            self.revision = str(self.downloader.json(f"{api}/revision/{self.revision}")["sha"])
            listing = self.downloader.pages(f"{api}/tree/{self.revision}/data")
            paths = sorted(str(entry["path"]) for page in listing for entry in page)
        found: dict[str, Item] = {}
        for path in paths:
            if not Path(path).name.startswith(f"{self.split}-"):
                continue
            with self._open(path) as file:
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group, columns=list(DESCRIBED)).to_pylist()
                    for row, described in enumerate(rows):
                        item = _item(described, f"{path} {group:06d}", self.revision)
                        if item.category and ALLOWED.fullmatch(item.licence):
                            found[item.id] = item
                            self._places[item.id] = (path, group, row)
        return [found[identifier] for identifier in sorted(found)]

    def fetch(self, item: Item, folder: Path) -> None:
        """The item's maps as PNG files, reduced to `size`."""
        if item.id not in self._places:
            raise UserError(f"{item.id}: MatSynth has no such material in {self.split}")
        path, group, row = self._places[item.id]
        maps = self._maps(path, group)[row]
        for name, image in maps.items():
            if image and image.get("bytes"):
                reduced = _reduced(image["bytes"], self.size, f"{item.id}: its map {name}")
                (folder / f"{item.id}_{name}.png").write_bytes(reduced)

    def _maps(self, path: str, group: int) -> list[dict[str, Any]]:
        """The maps of all materials of a row group; the last one read is kept."""
        if self._group[0] != (path, group):
            with self._open(path) as file:
                offered = [name for name in MAPS if name in file.schema_arrow.names]
                rows = file.read_row_group(group, columns=offered).to_pylist()
            self._group = (path, group), rows
        return self._group[1]

    @contextmanager
    def _open(self, path: str) -> Iterator[parquet.ParquetFile]:
        """A Parquet file on the hub; what cannot be read of it is a UserError."""
        url = f"{self.hub}/datasets/{DATASET}/resolve/{self.revision}/{path}"
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


def _item(row: dict[str, Any], place: str, revision: str) -> Item:
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
        place=place,
        revision=revision,
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
