"""The gate promotes on evidence only: winners pass; ties, hacked rewards and collapses do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from components.core.errors import UserError
from components.evaluation.statistics import diversity_within, paired_difference
from components.promotion_gate.gate import MISSING, Votes, assess, verdict_of
from components.promotion_gate.votes import read_votes

GOOD: dict[str, Any] = {
    "before_after": {"difference": 0.05, "ci95": [0.01, 0.09]},
    "gold": {"difference": 0.0, "ci95": [-0.015, 0.02]},
    "diversity": {"before": 0.5, "after": 0.47},
    "diversity_within": {"before": 0.3, "after": 0.28},
    "clip_score": {"before": 70.6, "after": 68.7},
}


def test_a_clear_gain_without_side_effects_is_promoted() -> None:
    rules = assess(GOOD)
    assert [rule.passed for rule in rules] == [True] * 5
    assert verdict_of(rules) == "champion"


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({"before_after": {"difference": 0.05, "ci95": [0.0, 0.1]}}, 0),
        ({"before_after": {"difference": 0.05, "ci95": [-0.01, 0.11]}}, 0),
        ({"before_after": {"difference": -0.05, "ci95": [-0.09, -0.01]}}, 0),
        ({"gold": {"difference": -0.05, "ci95": [-0.09, -0.001]}}, 1),
        # An interval that touches 0 shows nothing: it may hide a loss of 0.11.
        ({"gold": {"difference": -0.05, "ci95": [-0.11, 0.005]}}, 1),
        ({"diversity": {"before": 0.5, "after": 0.449}}, 2),
        ({"diversity": {"before": 0.0, "after": 0.0}}, 2),
        ({"diversity_within": {"before": 0.3, "after": 0.03}}, 3),
        ({"clip_score": {"before": 70.0, "after": 62.0}}, 4),
    ],
)
def test_each_rule_alone_prevents_promotion(change: dict[str, Any], failed: int) -> None:
    rules = assess({**GOOD, **change})
    assert [rule.passed for rule in rules] == [index != failed for index in range(5)]
    assert verdict_of(rules) == "candidate"


def test_a_gold_score_that_holds_passes() -> None:
    """The figures of the recipe `laptop`: no gain beyond doubt, and no loss that matters."""
    gold = {"difference": 0.0057, "ci95": [-0.0022, 0.0136]}
    assert assess({**GOOD, "gold": gold})[1].passed
    assert not assess({**GOOD, "gold": gold}, gold_margin=0.002)[1].passed


@pytest.mark.parametrize("absent", list(GOOD))
def test_a_number_that_was_not_computed_cannot_pass(absent: str) -> None:
    rules = assess({key: value for key, value in GOOD.items() if key != absent})
    assert [rule.value for rule in rules if not rule.passed] == [MISSING]


def test_the_share_of_diversity_is_a_setting_and_appears_in_the_reason() -> None:
    values = {**GOOD, "diversity": {"before": 0.5, "after": 0.4}}
    kept = assess(values, keep_diversity=0.8)[2]
    assert kept.passed
    assert "80%" in kept.limit
    assert "80.0%" in kept.reason


def test_no_rule_for_the_clip_score_if_none_is_wanted() -> None:
    assert len(assess(GOOD, keep_clip_score=None)) == 4


def test_nothing_assessed_is_nothing_promoted() -> None:
    assert verdict_of([]) == "candidate"


def planted(
    gain: float,
    gold: float = 0.0,
    *,
    kept: float = 1.0,
    within: float = 1.0,
    clip: float = 1.0,
    noise: float = 0.05,
) -> dict[str, Any]:
    """The evaluation of 50 prompts of two seeds, whose scores change by so much on average.

    kept, within, clip: shares that are left. Within a prompt the measure itself is at work: two
    directions per prompt whose angle shrinks.
    """
    rng = np.random.default_rng(0)
    prompts = [str(i // 2) for i in range(100)]
    zero = np.zeros(100)
    reward, other = (
        paired_difference(
            zero, mean + noise * rng.normal(size=100), prompts, seed=1, resamples=500
        ).as_dict()
        for mean in (gain, gold)
    )
    angles = [np.arccos(1 - 0.3 * share) for share in (1.0, within)]
    spread = [
        diversity_within(np.tile([[1, 0], [np.cos(a), np.sin(a)]], (50, 1)), prompts)
        for a in angles
    ]
    return {
        "before_after": reward, "gold": other,
        "diversity": {"before": 0.5, "after": 0.5 * kept},
        "diversity_within": {"before": spread[0], "after": spread[1]},
        "clip_score": {"before": 25.0, "after": 25.0 * clip},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("evaluation", "failed"),
    [
        (planted(gain=0.10, gold=0.05), []),
        (planted(gain=0.10, kept=0.95, within=0.95), []),
        (planted(gain=0.0, noise=0.04), ["realism"]),
        (planted(gain=0.05, noise=0.5), ["realism", "gold"]),
        (planted(gain=1.0, noise=0.5), ["gold"]),
        (planted(gain=0.40, gold=-0.10), ["gold"]),
        (planted(gain=0.40, gold=-0.03, noise=0.1), ["gold"]),
        (planted(gain=0.40, gold=0.05, kept=0.3), ["diversity"]),
        (planted(gain=0.40, gold=0.05, within=0.1), ["within a prompt"]),
        (planted(gain=0.40, gold=-0.10, kept=0.3, within=0.2),
         ["gold", "diversity", "within a prompt"]),
        (planted(gain=0.40, gold=0.05, clip=0.5), ["CLIP score"]),
    ],
    ids=[
        "winner", "winner, gold a tie", "tie", "too noisy for both", "gold too noisy", "hacked",
        "hacked a little, noisy", "collapsed", "one picture a prompt", "all at once",
        "off the prompt",
    ],
)  # fmt: skip
def test_planted_outcomes_get_the_right_verdict(
    evaluation: dict[str, Any], failed: list[str]
) -> None:
    rules = assess(evaluation)
    refused = [rule.name for rule in rules if not rule.passed]
    assert verdict_of(rules) == ("candidate" if failed else "champion")
    assert len(refused) == len(failed)
    assert all(word in name for word, name in zip(failed, refused, strict=True))


@pytest.mark.parametrize(
    ("votes", "passed"),
    [
        # The paper's study (section 6.2): 46.8 % and 28.9 % of 641 responses.
        (Votes(300, 185), True),
        (Votes(6, 4), False),
        (Votes(50, 50), False),
        (Votes(20, 80), False),
        (Votes(0, 0), False),
    ],
)
def test_people_must_prefer_it_beyond_doubt(votes: Votes, passed: bool) -> None:
    rules = assess(GOOD, votes=votes)
    assert rules[-1].passed is passed
    assert verdict_of(rules) == ("champion" if passed else "candidate")


def test_the_win_rate_has_wilsons_interval() -> None:
    interval = binomtest(300, 485).proportion_ci(method="wilson")
    value = assess(GOOD, votes=Votes(300, 185))[-1].value
    assert value == f"0.619 [{interval.low:.3f}, {interval.high:.3f}] of 485 votes"


def test_the_votes_are_those_of_the_command_that_counts_them(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    from apps.study.statistics import results

    choices = ["after"] * 30 + ["before"] * 12 + ["similar"] * 9
    table = pandas.DataFrame(
        {"study": "s", "participant": [str(i % 5) for i in range(51)], "trial": range(51)}
        | {"choice": choices}
    )
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results(table)))
    assert read_votes(str(file), "after", "before") == Votes(30, 12, 51)
    with pytest.raises(UserError, match=r"promotion_gate\.votes: .*'new' and 'old'"):
        read_votes(str(file), "new", "old")
    file.write_text("[]")
    with pytest.raises(UserError, match="study results --json"):
        read_votes(str(file), "after", "before")
