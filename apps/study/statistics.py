"""What a study's votes say: shares, their intervals, majorities, a test, a ranking, agreement.

Pure functions of a table of votes (`votes.COLUMNS`). Intervals are at 95 %: normal as in the paper
(section 6.2, 6.4), Wilson's beside them, and one that respects that a participant's votes resemble
each other (it draws participants, or is Student's over few of them).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import evalica
import numpy as np
import pandas as pd
from scipy.stats import binomtest, chisquare

from apps.study.shares import order, shares, win_rates
from apps.study.votes import SIMILAR

PRIOR = 0.5
"""Of a draw, between every two methods: without it the strength of a method that never won has no
maximum of likelihood, and a solver may return anything."""


def results(votes: pd.DataFrame, choices: Sequence[str] = (), seed: int = 0) -> dict[str, Any]:
    """Everything that is reported; `choices` names those that may have no votes.

    Catch trials and repeats measure the participants and count in no share.
    """
    plain = votes[votes["kind"] == "plain"] if "kind" in votes else votes
    if plain.empty:  # catch trials alone
        return {"votes": 0}
    names = order(plain, choices)
    found: dict[str, Any] = {
        "votes": len(plain),
        "participants": int(plain["participant"].nunique()),
        "trials": int(plain["trial"].nunique()),
        "shares": shares(plain, names, seed),
        "majority": majority(plain, names),
        "win_rates": win_rates(plain, names, seed),
        "sign_test": sign_test(plain, names),
        "bradley_terry": bradley_terry(plain, names, seed),
        "agreement": agreement(plain),
    }
    for column in ("category", "prompt"):
        if column in plain and plain[column].astype(bool).any():
            found[f"by_{column}"] = {
                str(value): {
                    "votes": len(rows),
                    "shares": shares(rows, names, seed, group=True),
                }
                for value, rows in plain.groupby(column)
            }
    if "side" in plain:
        found["sides"] = sides(plain)
    if "kind" in votes:
        found |= checks(votes)
    return found


def with_and_without_flagged(
    votes: pd.DataFrame, choices: Sequence[str] = (), seed: int = 0
) -> dict[str, Any]:
    """`results` of all votes, and under "unflagged" those of participants nobody has flagged."""
    found = results(votes, choices, seed)
    if "flagged" in votes and votes["flagged"].astype(bool).any():
        kept = votes[~votes["flagged"].astype(bool)]
        found["unflagged"] = results(kept, choices, seed)
    return found


def majority(votes: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """What most said of each trial; trials without a single winner count as "similar".

    So the paper counts: "considered as 'similar' or 'tie'".
    """
    table = pd.crosstab(votes["trial"], votes["choice"]).reindex(columns=list(names), fill_value=0)
    counts = table.to_numpy()
    single = (counts == counts.max(axis=1, keepdims=True)).sum(axis=1) == 1
    winners = np.where(single, np.asarray(names, object)[counts.argmax(axis=1)], SIMILAR)
    found = {name: int((winners == name).sum()) for name in dict.fromkeys([*names, SIMILAR])}
    return {
        "trials": len(counts),
        "shares": {name: count / len(counts) for name, count in found.items()},
    }


def sign_test(votes: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """Whether the most chosen beats the next, votes for "similar" left out (two-sided).

    Votes are taken as independent; the clustered intervals of the shares are not.
    """
    methods = [name for name in names if name != SIMILAR]
    if len(methods) < 2:
        return {}
    counts = votes["choice"].value_counts()
    first, second = (int(counts.get(name, 0)) for name in methods[:2])
    if first + second == 0:
        return {}
    test = binomtest(first, first + second)
    return {
        "between": methods[:2], "votes": [first, second], "p_value": float(test.pvalue),
    }  # fmt: skip


def comparisons(
    votes: pd.DataFrame, names: Sequence[str]
) -> tuple[list[str], list[str], list[Any]]:
    """Pairs (x, y, winner): the chosen beats every other; "similar" is a draw of all."""
    methods = [name for name in names if name != SIMILAR]
    xs: list[str] = []
    ys: list[str] = []
    winners: list[Any] = []
    for choice in votes["choice"]:
        if choice == SIMILAR:
            pairs = [(a, b) for i, a in enumerate(methods) for b in methods[i + 1 :]]
            outcome = evalica.Winner.Draw
        else:
            pairs = [(choice, other) for other in methods if other != choice]
            outcome = evalica.Winner.X
        xs += [a for a, _ in pairs]
        ys += [b for _, b in pairs]
        winners += [outcome] * len(pairs)
    return xs, ys, winners


def bradley_terry(votes: pd.DataFrame, names: Sequence[str], seed: int) -> dict[str, Any]:
    """Strength of each method, which sum to 1, with an interval that draws participants."""
    methods = [name for name in names if name != SIMILAR]
    if len(methods) < 2:
        return {}
    strengths = _strengths(votes, names)
    groups = [rows for _, rows in votes.groupby("participant")]
    found: dict[str, Any] = {name: {"strength": strengths[name]} for name in methods}
    if len(groups) < 2:
        return found
    rng = np.random.default_rng(seed)
    drawn = [
        _strengths(pd.concat([groups[i] for i in rng.integers(0, len(groups), len(groups))]), names)
        for _ in range(200)
    ]
    for name in methods:
        bounds = np.quantile([one[name] for one in drawn], [0.025, 0.975])
        found[name]["clustered95"] = [float(bound) for bound in bounds]
    return found


def _strengths(votes: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    xs, ys, winners = comparisons(votes, names)
    methods = [name for name in names if name != SIMILAR]
    weights = [1.0] * len(xs)
    for i, first in enumerate(methods):
        for second in methods[i + 1 :]:
            xs, ys = [*xs, first], [*ys, second]
            winners, weights = [*winners, evalica.Winner.Draw], [*weights, PRIOR]
    scores = evalica.bradley_terry(xs, ys, winners, weights=weights, limit=1000).scores
    values = {name: float(scores.get(name, 0.0)) for name in methods}
    total = sum(values.values()) or 1.0
    return {name: value / total for name, value in values.items()}


def agreement(votes: pd.DataFrame) -> dict[str, Any]:
    """Krippendorff's alpha over trials that several participants judged; None without any."""
    table = votes.pivot_table(
        index="participant", columns="trial", values="choice", aggfunc="first"
    )
    shared = table.loc[:, table.notna().sum() > 1]
    if shared.shape[1] == 0:
        return {"krippendorff_alpha": None, "trials": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all votes alike: no variation to share
        value = float(evalica.alpha(shared).alpha)
    return {
        "krippendorff_alpha": value if math.isfinite(value) else None,
        "trials": int(shared.shape[1]),
    }


def sides(votes: pd.DataFrame) -> dict[str, Any]:
    """How often each place on the screen was chosen, and whether evenly (two-sided)."""
    shown = votes[(votes["choice"] != SIMILAR) & votes["side"].astype(bool)]
    counts = shown["side"].value_counts()
    places = ("left", "middle", "right") if "middle" in counts else ("left", "right")
    found = {place: int(counts.get(place, 0)) for place in places}
    if sum(found.values()) == 0:
        return {"counts": found}
    if len(places) == 2:
        p_value = binomtest(found["left"], sum(found.values())).pvalue
    else:
        p_value = chisquare(list(found.values())).pvalue
    return {"counts": found, "p_value": float(p_value)}


def checks(votes: pd.DataFrame) -> dict[str, Any]:
    """How often catch trials were passed, and repeated trials answered as the first time."""
    found: dict[str, Any] = {}
    catch = votes[votes["kind"] == "catch"]
    if len(catch):
        passed = catch["passed"].astype(bool)
        found["catch"] = {
            "votes": len(catch),
            "passed": float(passed.mean()),
            "by_participant": {
                str(who): {"votes": len(own), "passed": float(own.mean())}
                for who, own in passed.groupby(catch["participant"])
            },
        }
    repeat = votes[votes["kind"] == "repeat"]
    if len(repeat):
        first = votes[votes["kind"] == "plain"][["participant", "trial", "choice"]]
        both = repeat.merge(
            first, left_on=["participant", "repeats"], right_on=["participant", "trial"]
        )
        if len(both):
            same = both["choice_x"] == both["choice_y"]
            found["repeat"] = {"votes": len(both), "same": float(same.mean())}
    return found
