"""What people preferred in a study of several methods, beside the paper's (section 6.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.study_results import read_results

PAPER = {"RealMat": 0.53, "ReflectanceFusion": 0.40, "MatFuse": 0.03, "similar": 0.04}
"""Section 6.4: shares of 440 votes."""
PAPER_VOTES = 440


def read_preferences(file: Path) -> list[dict[str, Any]]:
    """A row for each choice: method, votes, share, and the interval of the share (low, high).

    UserError for a file that holds none (see `read_results`).
    """
    told = f"--votes {file}"
    shares = read_results(file, told).shares
    if not shares:
        raise UserError(f"{told}: no votes are left: nobody voted, or all are flagged.")
    return [
        {"method": one.name, "votes": one.votes, "share": one.share}
        | {"low": one.low, "high": one.high}
        for one in shares
    ]
