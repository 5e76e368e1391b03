"""What people voted in a study: the file that `realmat study results NAME --json` prints.

Votes of flagged participants are left out wherever the file can do without them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.errors import UserError

EXPECTED = "expected the output of `realmat study results NAME --json`"
UNREADABLE = (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError)
ROUNDING = 1e-9


@dataclass(frozen=True)
class Share:
    """How often a choice was taken, and the 95 % interval of its share (low, high)."""

    name: str
    votes: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Wins:
    """Votes for either of two methods; `interval` of the first's share of them draws participants.

    None where fewer than two people chose between them.
    """

    votes: tuple[int, int]
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class StudyResults:
    """All votes that count, each choice's share, and each two methods against each other."""

    votes: int
    shares: tuple[Share, ...]
    wins: Mapping[tuple[str, str], Wins]


def read_results(file: Path, told: str) -> StudyResults:
    """The results without flagged participants; UserError, which begins with `told`, for another
    file. The interval of a share is the wider of Wilson's and one that draws participants."""
    try:
        found = json.loads(file.read_text("utf-8"))
        found = found.get("unflagged", found)
        if found.get("votes") == 0:
            return StudyResults(0, (), {})
        shares = tuple(_share(name, values) for name, values in found["shares"].items())
        rows = [_wins(values) for values in found.get("win_rates", [])]
        total = int(found.get("votes", sum(one.votes for one in shares)))
    except OSError as error:
        raise UserError(f"{told}: {error.strerror}: {EXPECTED}.") from error
    except UNREADABLE as error:
        raise UserError(f"{told}: {EXPECTED}.") from error
    wins = dict(rows)
    bounds = [(one.low, one.share, one.high) for one in shares]
    bounds += [(w.interval[0], w.interval[0], w.interval[1]) for w in wins.values() if w.interval]
    if not shares or not all(_sound(*values) for values in bounds):
        raise UserError(f"{told}: {EXPECTED}.")
    return StudyResults(total, shares, wins)


def _share(name: str, values: Mapping[str, Any]) -> Share:
    # A few people of one mind do not differ at all, which says nothing of others: the wider one.
    bounds = [values["wilson95"], values.get("clustered95") or values["wilson95"]]
    low, high = min(float(b[0]) for b in bounds), max(float(b[1]) for b in bounds)
    return Share(name, int(values["count"]), float(values["share"]), low, high)


def _wins(values: Mapping[str, Any]) -> tuple[tuple[str, str], Wins]:
    (first, second), (a, b) = values["between"], values["votes"]
    interval = values.get("clustered95")
    if interval is not None:
        interval = float(interval[0]), float(interval[1])
    return (str(first), str(second)), Wins((int(a), int(b)), interval)


def _sound(low: float, value: float, high: float) -> bool:
    """Whether the numbers can be a share and its interval; NaN can't."""
    return -ROUNDING <= low <= value + ROUNDING and value <= high + ROUNDING <= 1 + 2 * ROUNDING
