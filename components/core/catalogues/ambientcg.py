"""ambientCG: CC0 materials through its public API, version 3.

GET /api/v3/assets lists assets page by page, with the archives that each offers; an archive holds
the maps of one resolution and format.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from components.core.catalogues.download import Downloader
from components.core.catalogues.item import Item, answers_of, categorised
from components.core.errors import UserError
from components.core.materials.names import role_of

API = "https://ambientcg.com/api/v3"
LICENCE = "CC0-1.0"
PAGE = 100
MAX_UNPACKED = 2 << 30
"""Bytes that one archive may unpack to; a bomb stops here."""
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What `zipfile` raises for archives that are damaged, encrypted or packed in unknown ways."""


class Materials:
    """The catalogue's materials as one kind of archive, such as "1K-PNG"."""

    title = "ambientCG materials"

    def __init__(self, downloader: Downloader, archive: str = "1K-PNG", api: str = API) -> None:
        self.downloader, self.archive, self.api = downloader, archive, api
        self._archives: dict[str, dict[str, Any]] = {}

    def items(self) -> list[Item]:
        """All materials of the 16 categories which offer the archive, from all pages."""
        found: dict[str, Item] = {}
        url = f"{self.api}/assets"
        parameters: dict[str, str | int] = {
            "type": "material", "include": "downloads,tags,title", "limit": PAGE, "offset": 0
        }  # fmt: skip
        while url:
            answer = self.downloader.json(url, **parameters)
            with answers_of(self.title):
                for asset in answer["assets"]:
                    archive = self._archive(asset)
                    item = _item(asset)
                    if archive and item.category:
                        self._archives[item.id] = archive
                        found[item.id] = item
                # The address of the next page is complete.
                following, parameters = answer.get("nextPageHttp") or "", {}
                url = following if answer["assets"] and following != url else ""
        return [found[identifier] for identifier in sorted(found)]

    def fetch(self, item: Item, folder: Path) -> None:
        """The maps of the item's archive; UserError if the archive is damaged or no good."""
        archive = self._archives.get(item.id)
        if archive is None:
            raise UserError(f"{item.id}: ambientCG offers no {self.archive} of it")
        packed = folder / f"{item.id}.zip"
        with answers_of(self.title):
            url, size = str(archive["url"]), archive.get("size")
        self.downloader.file(url, packed, size=size)
        unpack_maps(packed, folder)
        packed.unlink()

    def _archive(self, asset: dict[str, Any]) -> dict[str, Any] | None:
        offered = asset.get("downloads", [])
        wanted = (entry for entry in offered if entry.get("attributes") == self.archive)
        return next((entry for entry in wanted if entry.get("extension") == "zip"), None)


def unpack_maps(packed: Path, folder: Path) -> None:
    """The maps in a ZIP file, directly into `folder` whatever folders they claim to be in."""
    try:
        with zipfile.ZipFile(packed) as archive:
            members = [m for m in archive.infolist() if role_of(PurePosixPath(m.filename).stem)]
            members = [m for m in members if not m.is_dir()]
            if sum(member.file_size for member in members) > MAX_UNPACKED:
                raise UserError(f"{packed.name} would unpack to over {MAX_UNPACKED >> 30} GiB")
            for member in members:
                (folder / PurePosixPath(member.filename).name).write_bytes(archive.read(member))
    except DAMAGED as error:
        packed.unlink()
        raise UserError(
            f"{packed.name} is no whole ZIP archive; run again to fetch it anew"
        ) from error
    if not members:
        raise UserError(f"{packed.name} holds no map of a material")


def _item(asset: dict[str, Any]) -> Item:
    identifier = str(asset["id"])
    tags = [str(tag) for tag in asset.get("tags") or ()]
    return Item(
        id=identifier,
        name=str(asset.get("title") or identifier),
        category=categorised(identifier, tags),
        page=f"https://ambientcg.com/a/{identifier}",
        licence=LICENCE,
        authors=("ambientCG",),
        tags=tags,
    )
