"""Ends a run that hacks its reward: the gold score of held-out prompts says when.

The gold scorer was trained on other judgements than the reward. While materials become more
realistic both rise; when the policy exploits the reward's errors, only the reward does. Held-out
measurements repeat prompts, seeds and lights, so a change is judged sample by sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

ERRORS = 2.0
"""Standard errors by which the mean must have fallen to be more than noise."""


def fell(start: npt.ArrayLike, now: npt.ArrayLike) -> bool:
    """Whether scores (N,) of the same samples have fallen on average, beyond noise.

    Samples that are not finite in either are left out; fewer than two say nothing.
    """
    change = np.asarray(now, np.float64) - np.asarray(start, np.float64)
    change = change[np.isfinite(change)]
    if change.size < 2:
        return False
    return bool(change.mean() < -ERRORS * change.std(ddof=1) / np.sqrt(change.size))


@dataclass
class EarlyStop:
    """Counts held-out measurements in a row whose gold scores are below the first one's.

    patience: as many end the run; 0 switches this off.
    """

    patience: int
    start: list[float] | None = None
    below: int = 0
    best: float = field(default=-np.inf)

    @property
    def active(self) -> bool:
        """Whether measurements are of any consequence."""
        return self.patience > 0

    @property
    def over(self) -> bool:
        """Whether the run has to end."""
        return self.active and self.below >= self.patience

    def observe(self, gold_n: Sequence[float] | npt.NDArray[np.floating[Any]]) -> bool:
        """Take note of a measurement (N,); returns whether it is the best one so far."""
        scores = np.asarray(gold_n, np.float64)
        if self.start is None:
            self.start = [float(score) for score in scores]
        self.below = self.below + 1 if fell(self.start, scores) else 0
        known = scores[np.isfinite(scores)]
        better = known.size > 0 and float(known.mean()) > self.best
        if better:
            self.best = float(known.mean())
        return better

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        best = self.best if np.isfinite(self.best) else None
        return {"start": self.start, "below": self.below, "best": best}

    def restore(self, state: dict[str, Any]) -> None:
        """Replace what was observed by a `state()` of before."""
        self.start, self.below = state["start"], state["below"]
        self.best = -np.inf if state["best"] is None else state["best"]
