"""Material sets are looked into once: in several processes, and what was found is kept.

Decoding a set takes a third of a second, so thousands take an hour on one core. Every task of a
data set needs to know the same, and so does each that is started again. What was found is kept by
the names, sizes and times of a set's files; a set that has changed since is looked into anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from components.core.catalogues.download import disk_error
from components.core.catalogues.item import locked
from components.core.errors import UserError
from components.core.materials.pbr_set import load_pbr_set
from components.core.platform.artifacts import hash_text
from components.core.platform.progress import track
from components.core.rendering.threads import prepare_with_share
from components.core.rendering.workers import Failed, Workers

FEW = 16
"""Sets, and fewer, that are read here and now: the processes would take longer to start."""
FORMAT = 1
"""Of what is kept, and of what reading finds; another number looks into every set anew."""
SIZE = 64
"""Pixels at which a set is read to know whether it can be, and what is to be told of it."""


class Check(NamedTuple):
    """Why a set cannot be used, "" if it can, and what is to be told of it, a sentence each."""

    reason: str
    notes: list[str]


def check(folder: Path) -> Check:
    """Look into one set."""
    try:
        return Check("", list(load_pbr_set(folder, SIZE).metadata.get("notes", [])))
    except UserError as error:
        return Check(str(error).removeprefix(f"{folder}: "), [])


def checks(folders: Sequence[Path], processes: int, kept: Path | None) -> list[Check]:
    """What is found in each folder, in their order.

    kept: a folder for what was found, where other tasks that want the same wait for the first; None
    to keep nothing.
    """
    found: dict[int, Check] = {}
    if kept is None or len(folders) <= FEW:
        for number, result in _looked_into(folders, processes):
            found[number] = _told(result)
        return [found[number] for number in range(len(folders))]
    keys = [_key(folder) for folder in folders]
    with _keeping(kept) as (known, keep):
        missing = [number for number, key in enumerate(keys) if key not in known]
        for place, result in _looked_into([folders[number] for number in missing], processes):
            found[missing[place]] = _told(result)
            if isinstance(result, Check):  # else its process died, perhaps for want of memory
                keep(keys[missing[place]], result)
    return [found[number] if number in found else known[key] for number, key in enumerate(keys)]


def _key(folder: Path) -> str:
    """Of a set as it is now: its name and those of its files, their sizes and times."""
    try:
        stats = [(file.name, file.stat()) for file in sorted(folder.iterdir()) if file.is_file()]
    except OSError as error:
        return hash_text(f"{folder.resolve()} {error}")
    files = [(name, found.st_size, found.st_mtime_ns) for name, found in stats]
    return hash_text(json.dumps([FORMAT, str(folder.resolve()), files]))


@contextmanager
def _keeping(folder: Path) -> Iterator[tuple[dict[str, Check], Callable[[str, Check], None]]]:
    """What is known by key, and what adds to it; for one task at a time."""
    file = folder / "checks.jsonl"
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
            known = _read(file)
            stream = stack.enter_context(file.open("a", encoding="utf-8"))
        except OSError as error:
            raise disk_error(folder, error) from error

        def keep(key: str, found: Check) -> None:
            # The newline comes first: the last line may be torn, where a task was killed.
            line = json.dumps({"key": key, "reason": found.reason, "notes": found.notes})
            try:
                stream.write(f"\n{line}")
                stream.flush()
            except OSError as error:
                raise disk_error(folder, error) from error

        yield known, keep


def _read(file: Path) -> dict[str, Check]:
    """What the lines say that are whole."""
    known: dict[str, Check] = {}
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        known[row["key"]] = Check(row["reason"], row["notes"])
    return known


def _looked_into(folders: Sequence[Path], processes: int) -> Iterator[tuple[int, Check | Failed]]:
    """(number, what was found) of every folder, as they are done."""
    count = min(processes, len(folders))
    if len(folders) <= FEW or count < 2:
        yield from enumerate(map(check, track(folders, "checking materials")))
        return
    prepare = partial(prepare_with_share, count, _checker)
    with Workers[Path, Check](prepare, count) as workers:
        yield from track(workers.run(folders), "checking materials", len(folders))


def _told(found: Check | Failed) -> Check:
    if isinstance(found, Failed):
        return Check(f"it could not be read ({found.reason})", [])
    return found


def _checker() -> Callable[[Path], Check]:
    """For `Workers`."""
    return check
