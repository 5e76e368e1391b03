"""One interface for all catalogues: items with licence and attribution, fetched into folders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from components.core.catalogues.download import disk_error
from components.core.errors import UserError
from components.core.materials.files import SIDECAR
from components.core.materials.names import category_of
from components.core.platform.progress import track


@dataclass(frozen=True)
class Item:
    """A material or an environment in a catalogue."""

    id: str
    name: str
    category: str
    page: str
    licence: str
    authors: Sequence[str] = field(default_factory=tuple)
    tags: Sequence[str] = field(default_factory=tuple)


class Catalogue(Protocol):
    """What a public catalogue offers."""

    title: str

    def items(self) -> list[Item]:
        """All items, ordered by id, so that a seed chooses the same ones again."""
        ...

    def fetch(self, item: Item, folder: Path) -> None:
        """Put the item's map files into an existing folder; may be called again to continue."""
        ...


def categorised(name: str, *hints: Iterable[str]) -> str:
    """The category that a name tells, else the first hint (tags, the catalogue's classes) that
    tells one; empty if none does."""
    for words in ([name], *hints):
        for word in words:
            category = category_of(word)
            if category:
                return category
    return ""


def choose(items: Sequence[Item], count: int, seed: int) -> list[Item]:
    """`count` items at random, in the order of `items`; all of them if there are not more.

    A larger count contains a smaller one of the same seed, so a collection can grow.
    """
    order = np.random.default_rng(seed).permutation(len(items))[:count]
    return [items[i] for i in sorted(order)]


def collect(catalogue: Catalogue, folder: Path, count: int, seed: int) -> Path:
    """Fetch `count` items, each into `folder`/<id> with a sidecar, and return `folder`.

    What is there already is kept; a folder appears whole or not at all.
    """
    for item in track(choose(catalogue.items(), count, seed), catalogue.title):
        if not re.fullmatch(r"\w[\w-]*", item.id):
            raise UserError(f"{catalogue.title} names an item {item.id!r}, which is no folder name")
        target = folder / item.id
        if target.exists():
            continue
        unfinished = folder / f".{item.id}.partial"
        try:
            unfinished.mkdir(parents=True, exist_ok=True)
            catalogue.fetch(item, unfinished)
            for leftover in (*unfinished.glob(".*.json"), *unfinished.glob("*.part")):
                leftover.unlink()
            described = {**asdict(item), "caption": item.name.lower(), "catalogue": catalogue.title}
            text = json.dumps(described, indent=2) + "\n"
            (unfinished / SIDECAR).write_text(text, encoding="utf-8")
            unfinished.rename(target)
        except OSError as error:
            raise disk_error(target, error) from error
    return folder
