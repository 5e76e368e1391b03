"""Poly Haven: CC0 textures and environments through its public API.

GET /assets?type=… lists the assets by id; GET /files/ID gives, for every map, resolution and
format, an address with size and MD5.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

from components.core.catalogues.download import Downloader
from components.core.catalogues.item import Item, answers_of, categorised
from components.core.errors import UserError
from components.core.materials.names import role_of

API = "https://api.polyhaven.com"
LICENCE = "CC0-1.0"
ROLES = ("albedo", "roughness", "height", "metallic", "normal")
FORMATS = ("png", "jpg")
"""In order of preference for heights, whose 16 bits a JPEG would lose; else the other way round."""


class Textures:
    """The catalogue's materials at one resolution, such as "1k"."""

    title = "Poly Haven textures"

    def __init__(self, downloader: Downloader, resolution: str = "1k", api: str = API) -> None:
        self.downloader, self.resolution, self.api = downloader, resolution, api

    def items(self) -> list[Item]:
        """All textures whose words tell one of the 16 categories."""
        listed = _listed(self.downloader, self.api, "textures", self.title)
        return [item for item in listed if item.category]

    def fetch(self, item: Item, folder: Path) -> None:
        """The maps that a material is made of; UserError if there is no colour among them."""
        files = self.downloader.json(f"{self.api}/files/{item.id}")
        chosen: dict[str, Mapping[str, Any]] = {}
        with answers_of(self.title):
            for formats in _at(files, self.resolution):
                for name in FORMATS if _role(formats) == "height" else FORMATS[::-1]:
                    if name in formats and _role(formats) in ROLES:
                        chosen.setdefault(_role(formats), formats[name])
        if "albedo" not in chosen:
            raise UserError(
                f"{item.id}: Poly Haven offers no colour map at {self.resolution}; try another "
                "resolution"
            )
        for file in chosen.values():
            _download(self.downloader, file, folder, self.title)


class Environments:
    """The catalogue's HDRIs at one resolution."""

    title = "Poly Haven HDRIs"

    def __init__(self, downloader: Downloader, resolution: str = "1k", api: str = API) -> None:
        self.downloader, self.resolution, self.api = downloader, resolution, api

    def items(self) -> list[Item]:
        """All environments."""
        return _listed(self.downloader, self.api, "hdris", self.title)

    def fetch(self, item: Item, folder: Path) -> None:
        """The environment as a Radiance file."""
        files = self.downloader.json(f"{self.api}/files/{item.id}")
        try:
            file = files["hdri"][self.resolution]["hdr"]
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{item.id}: Poly Haven offers no .hdr at {self.resolution}; try another resolution"
            ) from error
        _download(self.downloader, file, folder, self.title)


def _listed(downloader: Downloader, api: str, kind: str, title: str) -> list[Item]:
    assets = downloader.json(f"{api}/assets", type=kind)
    with answers_of(title):
        return [_item(identifier, asset) for identifier, asset in sorted(assets.items())]


def _item(identifier: str, asset: Mapping[str, Any]) -> Item:
    return Item(
        id=identifier,
        name=str(asset["name"]),
        category=categorised(asset["name"], asset.get("tags", ()), asset.get("categories", ())),
        page=f"https://polyhaven.com/a/{identifier}",
        licence=LICENCE,
        authors=sorted(asset.get("authors", ())),
        tags=list(asset.get("tags", ())),
    )


def _at(files: Mapping[str, Any], resolution: str) -> list[Mapping[str, Any]]:
    """For each map that exists at a resolution, its files by format."""
    offered = (files[name].get(resolution) for name in sorted(files) if _is_map(files[name]))
    return [formats for formats in offered if formats and _role(formats)]


def _is_map(entry: object) -> bool:
    return isinstance(entry, Mapping)


def _role(formats: Mapping[str, Any]) -> str:
    """The role of a map by its files' names; "" for what is no map (a scene, say)."""
    for name in FORMATS:
        if name in formats:
            return role_of(PurePosixPath(urlparse(formats[name]["url"]).path).stem)
    return ""


def _download(downloader: Downloader, file: Mapping[str, Any], folder: Path, title: str) -> None:
    with answers_of(title):
        url, size, md5 = str(file["url"]), file.get("size"), file.get("md5", "")
    downloader.file(url, folder / PurePosixPath(urlparse(url).path).name, size=size, md5=md5)
