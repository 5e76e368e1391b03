"""What went in and whose it is: materials by licence and author, photographs, environments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.evaluation.summaries import read_json, read_lines

LIBRARY = "procedural library of this project (Apache-2.0)"
UNKNOWN = "not stated"


def data_origin(dataset: Sequence[Path]) -> dict[str, Any]:
    """{"licences": {name: grids}, "authors": {name: grids}} of all parts, the most first."""
    licences: Counter[str] = Counter()
    authors: Counter[str] = Counter()
    for part in dataset:
        for row in read_lines(part / "index.jsonl"):
            library = row.get("source") == "library"
            licences[LIBRARY if library else row.get("licence") or UNKNOWN] += 1
            if not library:
                authors[row.get("authors") or UNKNOWN] += 1
    return {"licences": dict(licences.most_common()), "authors": dict(authors.most_common())}


def surroundings(photographs: Path, environments: str, count: int) -> dict[str, Any]:
    """{"photographs": {"kept", "embedded"}, "environments": {"count", "uri"}} for the card.

    Args:
        photographs: the artifact; without counts.json it says nothing of them.
        environments: the URI they were loaded from, "" for the embedded ones; `count` of them.
    """
    counts = read_json(photographs / "counts.json")
    known = {key: counts[key] for key in ("kept", "embedded") if key in counts}
    found: dict[str, Any] = {"environments": {"count": count, "uri": environments}}
    return {"photographs": known, **found} if known else found
