"""What people preferred in a study of several methods, beside the paper's (section 6.4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.core.errors import UserError

PAPER = {"RealMat": 0.53, "ReflectanceFusion": 0.40, "MatFuse": 0.03, "similar": 0.04}
"""Section 6.4: shares of 440 votes."""
PAPER_VOTES = 440
ROUNDING = 1e-9
UNREADABLE = (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError)
EXPECTED = "expected the output of `realmat study results NAME --json`"


def read_preferences(file: Path) -> list[dict[str, Any]]:
    """A row for each choice: method, votes, share, and the interval of the share (low, high).

    The interval draws participants, or is Wilson's where there are too few of them. Votes of
    flagged participants are left out where the study has any. UserError for another file.
    """
    try:
        found = json.loads(file.read_text("utf-8"))
        found = found.get("unflagged", found)
        if found.get("votes") == 0:
            raise UserError(f"--votes {file}: no votes are left: nobody voted, or all are flagged.")
        shares: Mapping[str, Any] = found["shares"]
        rows = [_row(name, share) for name, share in shares.items()]
    except OSError as error:
        raise UserError(f"--votes {file}: {error.strerror}: {EXPECTED}.") from error
    except UNREADABLE as error:
        raise UserError(f"--votes {file}: {EXPECTED}.") from error
    if not rows or not all(_sound(row) for row in rows):
        raise UserError(f"--votes {file}: {EXPECTED}.")
    return rows


def _sound(row: Mapping[str, Any]) -> bool:
    """Whether the numbers can be a share and its interval; NaN can't."""
    low, share, high = row["low"], row["share"], row["high"]
    return bool(
        -ROUNDING <= low <= share + ROUNDING and share <= high + ROUNDING and high <= 1 + ROUNDING
    )


def _row(name: str, share: Mapping[str, Any]) -> dict[str, Any]:
    low, high = share.get("clustered95") or share["wilson95"]
    row = {"method": name, "votes": int(share["count"]), "share": float(share["share"])}
    return row | {"low": float(low), "high": float(high)}
