"""What share of a set people find realistic, from the images that were drawn at random.

Whoever judges the most doubtful images first gets a sample that says nothing of the whole set. The
random share of each category does: its judgements are unbiased in whatever order the rest came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from statsmodels.stats.proportion import proportion_confint

from labeling.annotations import Annotation


@dataclass(frozen=True)
class Share:
    """Realistic among the judged; low and high bound Wilson's 95 % interval."""

    judged: int
    share: float
    low: float
    high: float

    def metrics(self, name: str) -> dict[str, float]:
        """As MLflow keeps it."""
        return {
            f"{name}_realistic_share": self.share,
            f"{name}_realistic_share_low": self.low,
            f"{name}_realistic_share_high": self.high,
            f"{name}_random_judged": self.judged,
        }


def random_shares(judged: Iterable[Annotation]) -> dict[str, Share]:
    """By set, from its random images with a clear judgement; sets without any are left out.

    An image that several people judged counts once, by their majority; a tie counts half.
    """
    said: dict[tuple[str, int], list[float]] = defaultdict(list)
    for one in judged:
        if one.random and one.label in ("realistic", "unrealistic"):
            said[one.set, one.item].append(float(one.label == "realistic"))
    votes: dict[str, list[float]] = defaultdict(list)
    for (name, _), values in said.items():
        mean = sum(values) / len(values)
        votes[name].append(0.5 if mean == 0.5 else float(mean > 0.5))
    return {name: _share(values) for name, values in votes.items()}


def _share(votes: Sequence[float]) -> Share:
    low, high = proportion_confint(sum(votes), len(votes), method="wilson")
    return Share(len(votes), sum(votes) / len(votes), float(low), float(high))
