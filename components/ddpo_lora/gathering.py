"""What all processes know of a round's samples, from what each knows of its own."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.core.realism.reward import COMMON, GOLD, REWARD
from components.ddpo_lora.metrics import diversity
from components.ddpo_lora.parallel import Group
from components.ddpo_lora.scoring import Scored

NAMES = (REWARD, GOLD, COMMON)
"""Scorers whose scores the processes exchange, whether they have them or not."""


@dataclass(frozen=True)
class Gathered:
    """Scores (N,) of a whole round, NaN for dropped samples and for a scorer that is not there.

    diversity: mean CLIP distance between the samples of one process, averaged over processes.
    """

    scores: dict[str, npt.NDArray[np.float64]]
    diversity: float | None

    @property
    def dropped(self) -> int:
        """Samples without a finite reward."""
        return int((~np.isfinite(self.scores[REWARD])).sum())


def alone(rewards_n: npt.NDArray[np.float64]) -> Gathered:
    """Rewards that all processes know, without a gold score."""
    scores = {name: np.full_like(rewards_n, np.nan) for name in NAMES}
    return Gathered(scores | {REWARD: rewards_n}, None)


def gathered(found: tuple[list[int], Scored], count: int, group: Group) -> Gathered:
    """Bring together a round of `count` samples; `found` as `Round.finish` returns it."""
    numbers, scored = found
    own = np.zeros((len(NAMES), count))
    missing = np.full(len(numbers), np.nan)
    for row, name in enumerate(NAMES):
        own[row, numbers] = scored.scores.get(name, missing)
    # Infinities of two processes could not be added up.
    own[~np.isfinite(own)] = np.nan
    sums = group.sum(own)
    apart = diversity(scored.features_nd)
    total, known = group.sum([0.0 if apart is None else apart, float(apart is not None)])
    scores = dict(zip(NAMES, sums, strict=True))
    return Gathered(scores, float(total / known) if known else None)
