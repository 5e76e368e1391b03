"""A study's votes in a comparison: the very file that the study command prints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from apps.study.statistics import with_and_without_flagged
from components.core.errors import UserError
from components.evaluation.contest_tables import (
    categories_table,
    differences_table,
    methods_table,
    preferences_table,
)
from components.evaluation.preferences import PAPER, PAPER_VOTES, read_preferences

SHARES = {"RealMat": 53, "ReflectanceFusion": 40, "MatFuse": 3, "similar": 4}


def votes(flagged: bool = False) -> pd.DataFrame:
    """The paper's 440 votes (section 6.4), by 22 participants; a further one may be flagged."""
    choices = np.random.default_rng(0).permutation(
        np.repeat(list(SHARES), [round(4.4 * share) for share in SHARES.values()])
    )
    table = pd.DataFrame(
        {
            "participant": [f"p{i % 22}" for i in range(len(choices))],
            "trial": range(len(choices)),
            "choice": choices,
            "left": "RealMat",
            "right": "MatFuse",
            "flagged": False,
        }
    )
    if not flagged:
        return table
    spam = table.head(20).assign(participant="spam", choice="MatFuse", flagged=True)
    return pd.concat([table, spam], ignore_index=True)


@pytest.mark.parametrize("flagged", [False, True])
def test_the_papers_votes_give_the_papers_shares(tmp_path: Path, flagged: bool) -> None:
    file = tmp_path / "results.json"
    found = with_and_without_flagged(votes(flagged), list(SHARES))
    file.write_text(json.dumps(found))
    rows = {row["method"]: row for row in read_preferences(file)}
    assert sum(row["votes"] for row in rows.values()) == pytest.approx(PAPER_VOTES, abs=1)
    for name, share in PAPER.items():
        assert rows[name]["share"] == pytest.approx(share, abs=0.005)
        told = found.get("unflagged", found)["shares"][name]
        (a, b), (c, d) = told["clustered95"], told["wilson95"]
        assert [rows[name]["low"], rows[name]["high"]] == [min(a, c), max(b, d)]
    _, shown = preferences_table(list(rows.values()))
    assert len(shown) == 2 * len(PAPER)
    assert sum("the paper" in row[0] for row in shown) == len(PAPER)


def one(**changes: object) -> str:
    """The results of a study with one choice."""
    share = {"count": 2, "share": 0.5, "wilson95": [0.1, 0.9]} | changes
    return json.dumps({"votes": 4, "shares": {"a": share}})


@pytest.mark.parametrize(
    "text", [json.dumps({"votes": 0}), '{"votes": 9, "unflagged": {"votes": 0}}']
)
def test_a_study_without_votes_says_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(UserError, match="no votes are left"):
        read_preferences(file)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"shares": {}}', '{"shares": {"a": 1}}', '{"shares": {"a": {}}}',
        one(count=float("inf")), one(share=float("nan")), one(share=50), one(wilson95=[0.6, 0.4]),
        one(wilson95=[-1, 2]), "[" * 100_000,
    ],
    ids=lambda text: text[:60],
)  # fmt: skip
def test_another_file_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "votes.csv"
    file.write_text(text)
    with pytest.raises(UserError, match="realmat study results NAME --json"):
        read_preferences(file)
    file.write_text(one())
    assert len(read_preferences(file)) == 1
    with pytest.raises(UserError, match="No such file"):
        read_preferences(tmp_path / "missing.json")


def test_the_pages_tables_say_what_the_rows_hold() -> None:
    rows = [
        {"method": "ours", "reward": 0.5, "kid": 0.25, "kid_low": 0.2, "kid_high": 0.3,
         "memory_bytes": 2e9, "category": "rock", "materials": 3},
        {"method": "Other", "reward": 0.4, "kid": None, "category": "rock", "materials": 3},
    ]  # fmt: skip
    head, body = methods_table(rows)
    assert head == ["measure", "ours", "Other"]
    cells = {row[0].split(",")[0]: row[1:] for row in body}
    assert cells["realism"] == ["0.5", "0.4"]
    assert cells["KID against the photographs ↓"] == ["0.25 [0.2, 0.3]", "–"]
    assert cells["peak memory"] == ["2", "–"]
    _, by_category = categories_table(rows[::-1])
    assert [row[:3] for row in by_category] == [["rock", "Other", "3"], ["rock", "ours", "3"]]
    one = {"method": "Other", "against": "ours", "measure": "reward", "pairs": 3, "p_holm": 0.4,
           "difference": -0.1, "low": -0.2, "high": 0.05, "p_value": 0.2}  # fmt: skip
    _, ((*_, difference, p),) = differences_table([one])
    assert (difference, p) == ("-0.1 [-0.2, +0.05]", "0.400")
