"""One interface for all catalogues: items with licence and attribution, fetched into folders."""

from __future__ import annotations

import fcntl
import json
import logging
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from components.core.catalogues.download import DiskError, disk_error
from components.core.errors import Unreachable, UserError
from components.core.materials.files import SIDECAR, link
from components.core.materials.names import category_of
from components.core.platform.artifacts import hash_text
from components.core.platform.progress import track

ITEMS = "items"
SET_ASIDE = "set_aside.jsonl"
SHARE = 0.05
"""Of a choice that a catalogue may fail to give; more says that something else is wrong."""

log = logging.getLogger(__name__)


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
    place: str = ""
    """Items of one place are fetched one after another."""
    revision: str = ""
    """The state of the catalogue that it is from, where there are several."""


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
    """`count` items at random, in the order of `items`; all of them if there are fewer.

    A larger count contains a smaller one of the same seed, so a collection can grow; an item that
    the catalogue gains or loses changes the choice by at most that one.
    """
    ranked = sorted(items, key=lambda item: hash_text(f"{seed} {item.id}"))
    chosen = {item.id for item in ranked[:count]}
    return [item for item in items if item.id in chosen]


def collect(catalogue: Catalogue, folder: Path, count: int, seed: int) -> Path:
    """Fetch `count` items and return the folder that holds them, each in one of its own.

    `folder`/items keeps whatever was fetched, with a sidecar, for other choices to use too; a
    choice is a folder of links to its items. It appears whole, and then needs no network. Processes
    that want the same wait for the first. Items that cannot be had are set aside in `SET_ASIDE`;
    UserError if these are more than `SHARE` of the choice, or if the catalogue offers so many fewer
    than `count`, or at once where it does not answer: a choice stays as it is, and what lacks many
    items, or some that were merely out of reach, would never heal.
    """
    chosen = folder / f"choice-{count}-{seed}"
    if chosen.exists():
        return chosen
    try:
        with locked(folder):
            if not chosen.exists():
                wanted = choose(catalogue.items(), count, seed)
                short = _shortage(catalogue, len(wanted), count)
                left_out = _fetch_all(catalogue, wanted, folder / ITEMS)
                _gather(folder / ITEMS, wanted, left_out, short, chosen)
    except OSError as error:
        raise disk_error(folder, error) from error
    return chosen


@contextmanager
def answers_of(title: str) -> Iterator[None]:
    """UserError where a catalogue's answer lacks what its description promises."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(
            f"{title}: the catalogue answers in another form than expected "
            f"({type(error).__name__}: {error}); update realmat, or use another source"
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder for one process at a time; the others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def set_aside(folder: Path) -> list[tuple[str, str]]:
    """(id, reason) of what a choice lacks; nothing for folders of other origin. Items that the
    catalogue never offered have no id, and one reason together."""
    file = folder / SET_ASIDE
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [(row["id"], row["reason"]) for row in map(json.loads, lines)]


def _shortage(catalogue: Catalogue, offered: int, count: int) -> str:
    """What is to be told of a catalogue that has fewer items than asked for; "" if it has enough.

    UserError if it lacks more than a few.
    """
    if offered == count:
        return ""
    told = f"{catalogue.title}: {offered} of the {count} items asked for are offered"
    if count - offered > SHARE * count:
        advice = f"ask for at most {offered}" if offered else "use another source"
        raise UserError(f"{told}; {advice}")
    log.warning(told)
    return told


def _fetch_all(catalogue: Catalogue, wanted: Sequence[Item], folder: Path) -> dict[str, str]:
    """Fetch what `folder` lacks; returns the reasons of those that cannot be had, by id."""
    left_out: dict[str, str] = {}
    for item in track(sorted(wanted, key=lambda item: item.place), catalogue.title):
        if not re.fullmatch(r"\w[\w-]*", item.id):
            raise UserError(f"{catalogue.title} names an item {item.id!r}, which is no folder name")
        if (folder / item.id).exists():
            continue
        try:
            _fetch(catalogue, item, folder)
        except (DiskError, Unreachable):
            raise
        except UserError as error:
            left_out[item.id] = str(error)
            log.warning("left out: %s", error)
            if len(left_out) > SHARE * len(wanted):
                raise UserError(
                    f"{catalogue.title}: {len(left_out)} of {len(wanted)} items cannot be had, "
                    f"over {SHARE:.0%}; the last: {error}"
                ) from error
    return left_out


def _fetch(catalogue: Catalogue, item: Item, folder: Path) -> None:
    """One item with its sidecar, whole or not at all; what an interrupted try left is used."""
    unfinished = folder / f".{item.id}.partial"
    unfinished.mkdir(parents=True, exist_ok=True)
    catalogue.fetch(item, unfinished)
    for leftover in (*unfinished.glob(".*.json"), *unfinished.glob("*.part")):
        leftover.unlink()
    described = {**asdict(item), "caption": item.name.lower(), "catalogue": catalogue.title}
    described.pop("place")
    text = json.dumps(described, indent=2) + "\n"
    (unfinished / SIDECAR).write_text(text, encoding="utf-8")
    unfinished.rename(folder / item.id)


def _gather(
    pool: Path, wanted: Sequence[Item], left_out: Mapping[str, str], short: str, chosen: Path
) -> None:
    """The folder of a choice, of second names of the files."""
    beside = chosen.with_name(f".{chosen.name}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    for item in wanted:
        if item.id not in left_out:
            shutil.copytree(pool / item.id, beside / item.id, copy_function=link)
    lacking = [*left_out.items(), *([("", short)] if short else [])]
    lines = (json.dumps({"id": key, "reason": reason}) for key, reason in lacking)
    (beside / SET_ASIDE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    beside.rename(chosen)
