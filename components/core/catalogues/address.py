"""Addresses of catalogues, wherever a folder of materials or environments may be given.

    polyhaven://120                      120 random textures or environments of Poly Haven
    polyhaven://200?resolution=2k&seed=3
    ambientcg://500?archive=1K-PNG       500 random materials of ambientCG
    matsynth://4000?size=1024            4,000 random materials of MatSynth
    matsynth://4000?revision=COMMIT      from this state of it, whatever is added later

They are fetched into a cache folder, from where a run that was interrupted goes on, and a larger
choice of the same seed takes the items of a smaller one. What is whole needs no network.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlparse

from components.core.errors import UserError
from components.core.platform.storage import CATALOGUES, addresses, cache_folder, local_path

if TYPE_CHECKING:
    from components.core.catalogues.item import Catalogue

EXAMPLE = "give an address such as polyhaven://120 or ambientcg://500?archive=1K-PNG&seed=3"


def materials_folders(uri: str) -> list[Path]:
    """Folders of material sets: local, downloaded from storage, or fetched from a catalogue.

    uri: an address, or several with commas between them, whose materials are taken together.
    """
    return [_folder(one, "materials") for one in dict.fromkeys(addresses(uri))]


def environments_folders(uri: str) -> list[Path]:
    """Folders and files of environments, likewise."""
    return [_folder(one, "environments") for one in dict.fromkeys(addresses(uri))]


def _folder(uri: str, kind: str) -> Path:
    if urlparse(uri).scheme not in CATALOGUES:
        return local_path(uri)
    from components.core.catalogues.item import collect

    count, seed, options = parse(uri)
    catalogue = open_catalogue(urlparse(uri).scheme, kind, options)
    parts = [urlparse(uri).scheme, kind, *(f"{k}-{v}" for k, v in sorted(options.items()))]
    folder = cache_folder("catalogues") / "-".join(parts)
    return collect(catalogue, folder, count, seed)


def parse(uri: str) -> tuple[int, int, dict[str, str]]:
    """How many items, the seed of their choice and the other options of an address."""
    parts = urlparse(uri)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    seed = options.pop("seed", "0")
    if not (parts.netloc.isdecimal() and int(parts.netloc) and seed.isdecimal()) or parts.path:
        raise UserError(f"{uri} is no address of a catalogue; {EXAMPLE}")
    return int(parts.netloc), int(seed), options


def open_catalogue(scheme: str, kind: str, options: dict[str, str]) -> Catalogue:
    """The catalogue of a scheme for "materials" or "environments"."""
    from components.core.catalogues import ambientcg, matsynth, polyhaven
    from components.core.catalogues.download import Downloader

    makers: dict[tuple[str, str], tuple[Callable[..., Catalogue], tuple[str, ...]]] = {
        ("polyhaven", "materials"): (polyhaven.Textures, ("resolution",)),
        ("polyhaven", "environments"): (polyhaven.Environments, ("resolution",)),
        ("ambientcg", "materials"): (ambientcg.Materials, ("archive",)),
        ("matsynth", "materials"): (matsynth.Materials, ("size", "revision")),
    }
    if (scheme, kind) not in makers:
        raise UserError(f"{scheme}:// has no {kind}; {EXAMPLE}")
    maker, known = makers[scheme, kind]
    if set(options) - set(known):
        raise UserError(
            f"{scheme}:// knows seed and {' and '.join(known)}, not {', '.join(options)}; {EXAMPLE}"
        )
    for name, value in options.items():
        if not re.fullmatch(r"[\w.-]+", value):
            raise UserError(f"{scheme}:// has no {name} {value!r}; {EXAMPLE}")
    return maker(Downloader(), **options)
