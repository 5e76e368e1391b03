"""The promotion gate: which evaluations make a model the champion. Pure, numbers in, reasons out.

The reward that was optimised has to rise beyond doubt, and the measures that were not optimised
must not pay for it. "Not shown to be worse" is no evidence of being as good, so the gold scorer is
held to non-inferiority: even the lower end of its interval may lie at most a margin below 0. A
number that the evaluation does not have cannot pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from components.core.platform.aliases import CANDIDATE, CHAMPION

MISSING = "not computed"
LEVEL = 0.05
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """One rule: what was measured, what is demanded, whether that holds and why (not)."""

    name: str
    value: str
    limit: str
    passed: bool
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """A row of the gate's table."""
        return asdict(self)


@dataclass(frozen=True)
class Votes:
    """How many people's choices preferred the material after, and the one before; ties in none."""

    after: int
    before: int
    total: int = 0
    """With those that found them similar."""
    interval: tuple[float, float] | None = None
    """95 % interval of the share of `after`, participants drawn; None for fewer than two."""


def assess(
    evaluation: Json,
    *,
    gold_margin: float = 0.02,
    keep_diversity: float = 0.9,
    keep_clip_score: float | None = 0.9,
    votes: Votes | None = None,
) -> list[Rule]:
    """Every rule of the gate applied to an evaluation (keys as in report.json).

    The rules of the CLIP score and of people's votes apply only where their settings are given.
    """
    rules = [
        _gain(evaluation.get("before_after")),
        _gold(evaluation.get("gold"), gold_margin),
        _kept("diversity", evaluation.get("diversity"), keep_diversity),
        _kept("diversity within a prompt", evaluation.get("diversity_within"), keep_diversity),
    ]
    if keep_clip_score is not None:
        rules.append(_kept("CLIP score", evaluation.get("clip_score"), keep_clip_score))
    if votes is not None:
        rules.append(_people(votes))
    return rules


def verdict_of(rules: list[Rule]) -> str:
    """The alias that a model with this assessment gets."""
    return CHAMPION if rules and all(rule.passed for rule in rules) else CANDIDATE


def _gain(result: Json | None) -> Rule:
    """Interval and sign-flip test have to agree; with five prompts no outcome has p below 0.05."""
    name, limit = "held-out realism", f"rises: 95 % interval above 0, p below {LEVEL}"
    if result is None or "p_value" not in result:
        return _missing(name, limit)
    passed = result["ci95"][0] > 0 and result["p_value"] < LEVEL
    reason = "rises beyond doubt" if passed else "no gain that this many prompts could show"
    return Rule(name, f"{_difference(result)}, p {result['p_value']:.2g}", limit, passed, reason)


def _gold(result: Json | None, margin: float) -> Rule:
    name, limit = "gold scorer", f"not worse: 95 % interval above {-margin:+g}"
    if result is None:
        return _missing(name, limit)
    low, high = result["ci95"]
    passed = low >= -margin
    if passed:
        reason = "rises beyond doubt" if low > 0 else f"at worst {low:+.4f}"
    elif high < 0:
        reason = "falls beyond doubt: the reward may have been hacked"
    else:
        reason = f"may have fallen by {-low:.4f}"
    return Rule(name, _difference(result), limit, passed, reason)


def _kept(name: str, result: Json | None, keep: float) -> Rule:
    limit = f"at least {keep:.0%} kept"
    if result is None or result["before"] <= 0:
        return _missing(name, limit)
    kept = result["after"] / result["before"]
    passed = kept >= keep
    reason = f"{kept:.1%} kept" if passed else f"only {kept:.1%} kept"
    return Rule(name, f"{result['before']:.4g} → {result['after']:.4g}", limit, passed, reason)


def _people(votes: Votes) -> Rule:
    """The wider of Wilson's interval and one that draws participants.

    Wilson's takes every vote as independent, as the paper does in section 6.2, though the votes of
    one person resemble each other; participants of one mind hardly differ, however few they are.
    """
    from statsmodels.stats.proportion import proportion_confint

    name, limit = "people's win rate", "preferred: 95 % interval above 0.5"
    count = votes.after + votes.before
    if count == 0:
        return _missing(name, limit)
    wilson = proportion_confint(votes.after, count, method="wilson")
    people = votes.interval or wilson
    low, high = min(wilson[0], people[0]), max(wilson[1], people[1])
    value = f"{votes.after / count:.3f} [{low:.3f}, {high:.3f}] of {count} votes"
    passed = votes.interval is not None and bool(low > 0.5)
    if votes.interval is None:
        reason = "all votes are one participant's, who may be alone with that taste"
    elif passed:
        reason = "preferred beyond doubt"
    else:
        reason = "no preference that so many people could show"
    return Rule(name, value, limit, passed, reason)


def _missing(name: str, limit: str) -> Rule:
    return Rule(name, MISSING, limit, False, "what was not measured cannot pass")


def _difference(result: Json) -> str:
    low, high = result["ci95"]
    return f"{result['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
