"""The gate promotes on evidence only."""

from typing import Any

import pytest

from components.registration.gate import MISSING, alias_of, assess
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
