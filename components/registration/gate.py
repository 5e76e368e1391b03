"""The promotion gate: which evaluations make a model the champion. Pure, numbers in, reasons out.

The reward that was optimised has to rise beyond doubt, and the measures that were not optimised
must not pay for it. A number that the evaluation does not have cannot pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

CHAMPION, CANDIDATE = "champion", "candidate"
MISSING = "not computed"


@dataclass(frozen=True)
class Rule:
    """One rule, what was measured, and whether that is enough."""

    rule: str
    value: str
    passed: bool

    def as_dict(self) -> dict[str, Any]:
        """A row of the gate's table in registration.json."""
        return asdict(self)


def assess(evaluation: Mapping[str, Any], *, keep_diversity: float = 0.9) -> list[Rule]:
    """Every rule of the gate applied to an evaluation (keys as in report.json)."""
    return [
        _gain(evaluation.get("before_after")),
        _gold(evaluation.get("gold")),
        _diversity(evaluation.get("diversity"), keep_diversity),
    ]


def alias_of(rules: list[Rule]) -> str:
    """The alias that a model with this assessment gets."""
    return CHAMPION if rules and all(rule.passed for rule in rules) else CANDIDATE


def _gain(result: Mapping[str, Any] | None) -> Rule:
    rule = "held-out realism rises: its 95 % interval lies above 0"
    if result is None:
        return Rule(rule, MISSING, False)
    return Rule(rule, _difference(result), result["ci95"][0] > 0)


def _gold(result: Mapping[str, Any] | None) -> Rule:
    rule = "the gold scorer does not fall: its 95 % interval does not lie below 0"
    if result is None:
        return Rule(rule, MISSING, False)
    return Rule(rule, _difference(result), result["ci95"][1] >= 0)


def _diversity(result: Mapping[str, float] | None, keep: float) -> Rule:
    rule = f"at least {keep:.0%} of the diversity is kept"
    if result is None or result["before"] <= 0:
        return Rule(rule, MISSING, False)
    kept = result["after"] / result["before"]
    value = f"{result['before']:.4f} to {result['after']:.4f}: {kept:.1%}"
    return Rule(rule, value, kept >= keep)


def _difference(result: Mapping[str, Any]) -> str:
    low, high = result["ci95"]
    return f"{result['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
