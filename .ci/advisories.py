#!/usr/bin/env python3
"""Checks the packages of lock files against a local copy of OSV's advisories; asks no network.

    .ci/advisories.py --database all.zip requirements.lock

The database is what somebody fetched: the records of the ecosystem PyPI in the schema of OSV
(https://ossf.github.io/osv-schema), as the archive `PyPI/all.zip` of OSV's data dumps, a folder of
JSON files, or one of them. Exit code 0: nothing known; 1: something is; 2: the input is wrong.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

Record = dict[str, Any]
ECOSYSTEM = "PyPI"


class InputError(Exception):
    """What was given is wrong; the text is one sentence for the user."""


@dataclass(frozen=True)
class Finding:
    """An advisory that is about a version in a lock."""

    lock: str
    package: str
    version: str
    names: tuple[str, ...]  # the advisory's own first, then what others call it
    summary: str
    fixed: tuple[str, ...]

    def __str__(self) -> str:
        known_as = ", ".join(self.names)
        remedy = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no fixed version is known"
        return f"{self.lock}: {self.package} {self.version}: {known_as}: {self.summary}; {remedy}"


def pinned(lock: Path) -> dict[str, Version]:
    """Versions by package of a lock file; hashes and markers are passed over."""
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{lock} cannot be read ({error.strerror}): give a lock file.") from error
    found = {}
    for line in text.replace("\\\n", " ").splitlines():
        stated = re.split(r"\s--hash=|\s*;|\s+#", line)[0].strip()
        if not stated or stated.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==(\S+)", stated)
        if match is None:
            raise InputError(f"{lock}: {stated!r} is no name==version: give a file of pins.")
        found[str(canonicalize_name(match[1]))] = Version(match[2])
    if not found:
        raise InputError(f"{lock} pins no package: give a lock file.")
    return found


def records(database: Path) -> Iterator[Record]:
    """The advisories of an archive, a folder or a file."""
    if not database.exists():
        raise InputError(
            f"{database} does not exist: give OSV's PyPI/all.zip, or a folder of its records."
        )
    if zipfile.is_zipfile(database):
        with zipfile.ZipFile(database) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".json"):
                    yield from _parsed(archive.read(name), f"{database}: {name}")
        return
    for file in sorted(database.rglob("*.json")) if database.is_dir() else [database]:
        yield from _parsed(file.read_bytes(), str(file))


def _parsed(content: bytes, name: str) -> list[Record]:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise InputError(f"{name} is no JSON: fetch the database again.") from error
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) and "id" in one for one in found):
        raise InputError(f"{name} is no record of OSV, which has an id: fetch the database again.")
    return found


def search(locks: dict[str, dict[str, Version]], advisories: Iterable[Record]) -> list[Finding]:
    """Every advisory about a version that a lock pins; withdrawn ones are none."""
    found = []
    read = 0
    for record in advisories:
        read += 1
        if record.get("withdrawn"):
            continue
        for affected in record.get("affected", []):
            package = affected.get("package", {})
            if package.get("ecosystem", "").partition(":")[0] != ECOSYSTEM:
                continue
            name = str(canonicalize_name(package["name"]))
            for lock, versions in locks.items():
                if name in versions and is_affected(affected, versions[name]):
                    found.append(_finding(lock, name, versions[name], record, affected))
    if not read:
        raise InputError("the database holds no record: fetch it again.")
    return sorted(set(found), key=str)


def is_affected(affected: Record, version: Version) -> bool:
    """Whether a version is in the list or in a range of a record (OSV schema, "Evaluation")."""
    if any(_version(text) == version for text in affected.get("versions", [])):
        return True
    ranges = affected.get("ranges", [])
    return any(_in_range(one["events"], version) for one in ranges if one["type"] != "GIT")


def _in_range(events: list[dict[str, str]], version: Version) -> bool:
    """Walks the events in order; a range that cannot be read counts as holding the version."""
    points = []
    for event in events:
        for kind, text in event.items():
            point = Version("0.dev0") if (kind, text) == ("introduced", "0") else _version(text)
            if point is None and text != "*":
                return True
            points.append((kind, point))
    limits = [point for kind, point in points if kind == "limit"]
    if limits and not any(limit is None or version < limit for limit in limits):
        return False
    inside = False
    ordered = [(point, kind) for kind, point in points if point is not None and kind != "limit"]
    for point, kind in sorted(ordered, key=lambda one: one[0]):
        if kind == "introduced" and version >= point:
            inside = True
        elif (kind == "fixed" and version >= point) or (
            kind == "last_affected" and version > point
        ):
            inside = False
    return inside


def _version(text: str) -> Version | None:
    """A version of PEP 440; the oldest packages have others, which no lock of uv's can hold."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _finding(lock: str, name: str, version: Version, record: Record, affected: Record) -> Finding:
    fixed = {
        event["fixed"]
        for one in affected.get("ranges", []) if one["type"] != "GIT"
        for event in one["events"] if "fixed" in event
    }  # fmt: skip
    summary = record.get("summary") or record.get("details", "").partition("\n")[0] or "no summary"
    names = (record["id"], *sorted(record.get("aliases", [])))
    later = sorted(text for text in fixed if (_version(text) or version) > version)
    return Finding(lock, name, str(version), names, summary, tuple(later))


def main(arguments: list[str]) -> int:
    """Print what is found; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("locks", nargs="+", type=Path)
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--accept", action="append", default=[], metavar="ID", help="not an error")
    given = parser.parse_args(arguments)
    try:
        locks = {str(lock): pinned(lock) for lock in given.locks}
        found = search(locks, records(given.database))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    open_ones = [one for one in found if not set(one.names) & set(given.accept)]
    for one in found:
        print(one if one in open_ones else f"accepted: {one}")
    packages = sum(len(versions) for versions in locks.values())
    print(f"{packages} packages, {len(open_ones)} findings, {len(found) - len(open_ones)} accepted")
    return 1 if open_ones else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
