"""The gate promotes on evidence only: winners pass; ties, hacked rewards and collapses do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from apps.study.statistics import results, with_and_without_flagged
from components.core.errors import UserError
from components.evaluation.statistics import diversity_within, paired_difference
from components.promotion_gate.gate import MISSING, Votes, assess, verdict_of
from components.promotion_gate.votes import read_votes

GOOD: dict[str, Any] = {
    "before_after": {"difference": 0.05, "ci95": [0.01, 0.09], "p_value": 0.01},
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
        ({"before_after": {"difference": 0.05, "ci95": [0.0, 0.1], "p_value": 0.04}}, 0),
        ({"before_after": {"difference": 0.05, "ci95": [-0.01, 0.11], "p_value": 0.04}}, 0),
        ({"before_after": {"difference": -0.05, "ci95": [-0.09, -0.01], "p_value": 0.01}}, 0),
        # Five prompts that all rise alike: a narrow interval, and p is 2 / 2^5.
        ({"before_after": {"difference": 0.05, "ci95": [0.04, 0.06], "p_value": 0.0625}}, 0),
        ({"before_after": {"difference": 0.05, "ci95": [0.01, 0.09]}}, 0),
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


def test_two_prompts_that_rise_are_no_gain_beyond_doubt() -> None:
    rise = paired_difference(np.zeros(4), np.full(4, 0.1), ["a", "a", "b", "b"], seed=0)
    assert not assess({**GOOD, "before_after": rise.as_dict()})[0].passed


def people(after: int, before: int, total: int = 0) -> Votes:
    """Votes of many people who each voted once: the participants' interval is the votes'."""
    count = max(after + before, 1)
    interval = binomtest(after, count).proportion_ci(method="wilson")
    return Votes(after, before, total, (interval.low, interval.high))


@pytest.mark.parametrize(
    ("votes", "passed"),
    [
        # The paper's study (section 6.2): 46.8 % and 28.9 % of 641 responses.
        (people(300, 185), True),
        (people(6, 4), False),
        (people(50, 50), False),
        (people(20, 80), False),
        (people(0, 0), False),
        # As many votes, of few people who do not agree.
        (Votes(300, 185, 641, (0.42, 0.81)), False),
        # Three people of one mind, a vote each: they do not differ, and show nothing.
        (Votes(3, 0, 3, (1.0, 1.0)), False),
        # One person's hundred votes.
        (Votes(100, 0, 100, None), False),
    ],
)
def test_people_must_prefer_it_beyond_doubt(votes: Votes, passed: bool) -> None:
    rules = assess(GOOD, votes=votes)
    assert rules[-1].passed is passed
    assert verdict_of(rules) == ("champion" if passed else "candidate")


def test_the_win_rate_has_the_wider_interval() -> None:
    interval = binomtest(300, 485).proportion_ci(method="wilson")
    value = assess(GOOD, votes=Votes(300, 185, 641, (0.6, 0.63)))[-1].value
    assert value == f"0.619 [{interval.low:.3f}, {interval.high:.3f}] of 485 votes"
    value = assess(GOOD, votes=Votes(300, 185, 641, (0.5, 0.8)))[-1].value
    assert value == "0.619 [0.500, 0.800] of 485 votes"


def study(after: int, before: int, similar: int, people: int) -> pd.DataFrame:
    choices = ["after"] * after + ["before"] * before + ["similar"] * similar
    return pd.DataFrame(
        {
            "study": "s",
            "participant": [str(i % people) for i in range(len(choices))],
            "trial": range(len(choices)),
            "choice": choices,
            "kind": "plain",
            "flagged": False,
        }
    )


def test_the_votes_are_those_of_the_command_that_counts_them(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results(study(30, 12, 9, people=5))))
    found = read_votes(str(file), "after", "before")
    assert (found.after, found.before, found.total) == (30, 12, 51)
    assert found.interval is not None
    assert found.interval[0] < 30 / 42 < found.interval[1]
    turned = read_votes(str(file), "before", "after")
    assert turned.interval is not None
    assert 1 - turned.interval[0] == pytest.approx(found.interval[1])
    assert (turned.after, turned.before) == (12, 30)
    with pytest.raises(UserError, match=r"promotion_gate\.votes: .*'new' and 'old'"):
        read_votes(str(file), "new", "old")
    file.write_text("[]")
    with pytest.raises(UserError, match="study results NAME --json"):
        read_votes(str(file), "after", "before")
    with pytest.raises(UserError, match="does not exist"):
        read_votes(str(tmp_path / "none.json"), "after", "before")
    old = results(study(30, 12, 9, people=5))
    del old["win_rates"]
    file.write_text(json.dumps(old))
    with pytest.raises(UserError, match="print them again"):
        read_votes(str(file), "after", "before")


def test_flagged_participants_promote_nothing(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    spam = study(200, 0, 0, people=4)
    spam["participant"], spam["flagged"] = "spam " + spam["participant"], True
    both = pd.concat([study(20, 22, 9, people=5), spam], ignore_index=True)
    file.write_text(json.dumps(with_and_without_flagged(both)))
    found = read_votes(str(file), "after", "before")
    assert (found.after, found.before, found.total) == (20, 22, 51)
    file.write_text(json.dumps(with_and_without_flagged(spam)))
    assert read_votes(str(file), "after", "before") == Votes(0, 0)


def test_people_of_two_minds_are_no_preference_however_often_they_vote(tmp_path: Path) -> None:
    """Four of six people always choose one side: 400 of 600 votes, and Wilson's is far above."""
    table = study(400, 200, 0, people=1)
    table["participant"] = [f"p{i // 100}" for i in range(600)]
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results(table)))
    votes = read_votes(str(file), "after", "before")
    assert binomtest(400, 600).proportion_ci(method="wilson").low > 0.62
    assert not assess(GOOD, votes=votes)[-1].passed
