"""How often each choice was taken, with its intervals, and each two methods against each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from apps.study.votes import SIMILAR
from components.core.intervals import confidence_interval

Floats = npt.NDArray[np.floating]
RESAMPLES = 2000
LEVEL = 0.95
MANY = 8
"""Categories and prompts with fewer votes than this get no interval of their own."""


def order(votes: pd.DataFrame, choices: Sequence[str]) -> list[str]:
    """The choices, those with most votes first, "similar" last."""
    counts = votes["choice"].value_counts()
    names = {*counts.index, *choices}
    return sorted(names, key=lambda name: (name == SIMILAR, -int(counts.get(name, 0)), name))


def shares(
    votes: pd.DataFrame, names: Sequence[str], seed: int, *, group: bool = False
) -> dict[str, dict[str, Any]]:
    """Of each choice: count, share, `ci95` (normal), `wilson95`, `clustered95` by participant.

    A group of the votes (a category, a prompt) has no `clustered95`, and no interval when small.
    """
    total = len(votes)
    counts = votes["choice"].value_counts()
    boot = by_participant(votes, names, seed) if not group else {}
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        count = int(counts.get(name, 0))
        found[name] = {"count": count, "share": count / total}
        if group and total < MANY:
            continue
        for key, method in (("ci95", "normal"), ("wilson95", "wilson")):
            low, high = proportion_confint(count, total, alpha=1 - LEVEL, method=method)
            found[name][key] = [float(low), float(high)]
        if name in boot:
            found[name]["clustered95"] = boot[name]
    return found


def by_participant(votes: pd.DataFrame, names: Sequence[str], seed: int) -> dict[str, list[float]]:
    """Intervals of the shares over participants; {} for fewer than two of them."""
    table = pd.crosstab(votes["participant"], votes["choice"]).reindex(
        columns=list(names), fill_value=0
    )
    counts = table.to_numpy(np.float64)
    if len(counts) < 2:
        return {}
    totals = counts.sum(axis=1)
    return {name: _between(counts[:, i], totals, seed) for i, name in enumerate(names)}


def _between(own: Floats, totals: Floats, seed: int) -> list[float]:
    """Interval of the share that `own` has of `totals`, (P,) votes of each participant."""
    rng = np.random.default_rng(seed)
    low, high = confidence_interval(own, totals, rng, RESAMPLES)
    return [max(low, 0.0), min(high, 1.0)]


def win_rates(votes: pd.DataFrame, names: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Each two methods against each other: the first's share of the votes that chose one of them.

    `clustered95` is over participants, and absent where fewer than two chose between them.
    """
    methods = [name for name in names if name != SIMILAR]
    found = []
    for first, second in itertools.combinations(methods, 2):
        own = votes[votes["choice"].isin([first, second])]
        counts = own["choice"].value_counts()
        wins = [int(counts.get(name, 0)) for name in (first, second)]
        row: dict[str, Any] = {"between": [first, second], "votes": wins}
        if len(own):
            low, high = proportion_confint(wins[0], len(own), alpha=1 - LEVEL, method="wilson")
            row |= {"share": wins[0] / len(own), "wilson95": [float(low), float(high)]}
        if own["participant"].nunique() > 1:
            row["clustered95"] = by_participant(own, [first, second], seed)[first]
        found.append(row)
    return found
