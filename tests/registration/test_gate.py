"""The gate promotes on evidence only."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from components.evaluation.statistics import paired_difference
from components.registration.gate import MISSING, Votes, alias_of, assess
from tests.registration.conftest import GOOD


def test_a_clear_gain_without_side_effects_is_promoted() -> None:
    rules = assess(GOOD)
    assert [rule.passed for rule in rules] == [True, True, True]
    assert alias_of(rules) == "champion"


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({"before_after": {"difference": 0.05, "ci95": [0.0, 0.1]}}, 0),
        ({"before_after": {"difference": 0.05, "ci95": [-0.01, 0.11]}}, 0),
        ({"before_after": {"difference": -0.05, "ci95": [-0.09, -0.01]}}, 0),
        ({"gold": {"difference": -0.05, "ci95": [-0.09, -0.001]}}, 1),
        ({"diversity": {"before": 0.5, "after": 0.449}}, 2),
        ({"diversity": {"before": 0.0, "after": 0.0}}, 2),
    ],
)
def test_each_rule_alone_prevents_promotion(change: dict[str, Any], failed: int) -> None:
    rules = assess({**GOOD, **change})
    assert [rule.passed for rule in rules] == [index != failed for index in range(3)]
    assert alias_of(rules) == "candidate"


@pytest.mark.parametrize("absent", list(GOOD))
def test_a_number_that_was_not_computed_cannot_pass(absent: str) -> None:
    rules = assess({key: value for key, value in GOOD.items() if key != absent})
    assert [rule.value for rule in rules if not rule.passed] == [MISSING]


def test_the_share_of_diversity_is_a_setting_and_appears_in_the_reason() -> None:
    values = {**GOOD, "diversity": {"before": 0.5, "after": 0.4}}
    kept = assess(values, keep_diversity=0.8)[2]
    assert kept.passed
    assert "80%" in kept.rule
    assert "80.0%" in kept.value


def test_nothing_assessed_is_nothing_promoted() -> None:
    assert alias_of([]) == "candidate"


def planted(
    gain: float, gold: float, kept: float, clip: float = 1.0, spread: float = 0.05
) -> dict[str, Any]:
    """The evaluation of 100 prompts whose reward and gold change by so much on average."""
    rng = np.random.default_rng(0)
    prompts = [str(i) for i in range(100)]
    zero = np.zeros(100)
    reward, other = (
        paired_difference(
            zero, mean + spread * rng.normal(size=100), prompts, seed=1, resamples=500
        ).as_dict()
        for mean in (gain, gold)
    )
    return {
        "before_after": reward, "gold": other,
        "diversity": {"before": 0.5, "after": 0.5 * kept},
        "clip_score": {"before": 25.0, "after": 25.0 * clip},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("evaluation", "verdict", "failed"),
    [
        (planted(gain=0.10, gold=0.05, kept=1.0), "champion", []),
        (planted(gain=0.10, gold=0.0, kept=0.95), "champion", []),
        (planted(gain=0.0, gold=0.0, kept=1.0, spread=0.2), "candidate", ["realism"]),
        (planted(gain=0.40, gold=-0.10, kept=1.0), "candidate", ["gold"]),
        (planted(gain=0.40, gold=0.05, kept=0.3), "candidate", ["diversity"]),
        (planted(gain=0.40, gold=-0.10, kept=0.3), "candidate", ["gold", "diversity"]),
        (planted(gain=0.40, gold=0.05, kept=1.0, clip=0.5), "candidate", ["CLIP score"]),
    ],
    ids=["winner", "winner, gold a tie", "tie", "hacked", "collapsed", "both", "off the prompt"],
)
def test_planted_outcomes_get_the_right_verdict(
    evaluation: dict[str, Any], verdict: str, failed: list[str]
) -> None:
    rules = assess(evaluation, keep_clip_score=0.9)
    reasons = [rule.rule for rule in rules if not rule.passed]
    assert alias_of(rules) == verdict
    assert len(reasons) == len(failed)
    assert all(word in reason for word, reason in zip(failed, reasons, strict=True))


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
    assert alias_of(rules) == ("champion" if passed else "candidate")


def test_the_win_rate_has_wilsons_interval() -> None:
    interval = binomtest(300, 485).proportion_ci(method="wilson")
    value = assess(GOOD, votes=Votes(300, 185))[-1].value
    assert value == f"0.619 [{interval.low:.3f}, {interval.high:.3f}] of 485 votes"


def test_a_clip_score_that_was_not_computed_cannot_pass() -> None:
    absent = {key: value for key, value in GOOD.items() if key != "clip_score"}
    assert assess(absent, keep_clip_score=0.9)[-1].value == MISSING
