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


@dataclass(frozen=True)
class Votes:
    """How many people's choices preferred the material after, and the one before; ties in none."""

    after: int
    before: int


def assess(
    evaluation: Mapping[str, Any],
    *,
    keep_diversity: float = 0.9,
    keep_clip_score: float | None = None,
    votes: Votes | None = None,
) -> list[Rule]:
    """Every rule of the gate applied to an evaluation (keys as in report.json).

    The rules of the CLIP score and of people's votes apply only where their settings are given.
    """
    rules = [
        _gain(evaluation.get("before_after")),
        _gold(evaluation.get("gold")),
        _diversity(evaluation.get("diversity"), keep_diversity),
    ]
    if keep_clip_score is not None:
        rules.append(_clip_score(evaluation.get("clip_score"), keep_clip_score))
    if votes is not None:
        rules.append(_people(votes))
    return rules


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


def _clip_score(result: Mapping[str, float] | None, keep: float) -> Rule:
    rule = f"at least {keep:.0%} of the CLIP score is kept"
    if result is None or result["before"] <= 0:
        return Rule(rule, MISSING, False)
    kept = result["after"] / result["before"]
    value = f"{result['before']:.2f} to {result['after']:.2f}: {kept:.1%}"
    return Rule(rule, value, kept >= keep)


def _people(votes: Votes) -> Rule:
    """Wilson's interval; every vote counts as independent, as in the paper's section 6.2."""
    from statsmodels.stats.proportion import proportion_confint

    rule = "people prefer it: the win rate's 95 % interval lies above 0.5"
    count = votes.after + votes.before
    if count == 0:
        return Rule(rule, MISSING, False)
    low, high = proportion_confint(votes.after, count, method="wilson")
    value = f"{votes.after / count:.3f} [{low:.3f}, {high:.3f}] of {count} votes"
    return Rule(rule, value, bool(low > 0.5))


def _difference(result: Mapping[str, Any]) -> str:
    low, high = result["ci95"]
    return f"{result['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
