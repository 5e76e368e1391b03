"""Ends a run that hacks its reward: the gold score of held-out prompts says when.

The gold scorer was trained on other judgements than the reward. While materials become more
realistic both rise; when the policy exploits the reward's errors, only the reward does. Held-out
measurements repeat prompts, seeds and lights, so a change is judged sample by sample, and against
the best measurement: a gold score that rises and then falls back has been hacked too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = Sequence[float] | npt.NDArray[np.floating[Any]]

ERRORS = 3.0
"""Standard errors by which the mean must have fallen to be more than noise. The best of some ten
measurements owes part of its height to chance: with two errors, one run in six in which nothing
changed would have ended below it."""


def fell(start: npt.ArrayLike, now: npt.ArrayLike) -> bool:
    """Whether scores (N,) of the same samples have fallen on average, beyond noise.

    Samples that are not finite in either are left out; fewer than two say nothing.
    """
    change = _changes(start, now)
    if change.size < 2:
        return False
    return bool(change.mean() < -ERRORS * change.std(ddof=1) / np.sqrt(change.size))


@dataclass
class EarlyStop:
    """Counts held-out measurements in a row whose gold scores are below the best one's.

    patience: as many end the run; 0 switches this off.
    best: the gold scores (N,) of the best measurement so far.
    """

    patience: int
    best: list[float] | None = None
    below: int = 0

    @property
    def active(self) -> bool:
        """Whether measurements are of any consequence."""
        return self.patience > 0

    @property
    def over(self) -> bool:
        """Whether the run has to end."""
        return self.active and self.below >= self.patience

    def observe(self, gold_n: Scores) -> bool:
        """Take note of a measurement (N,); returns whether it is the best one so far.

        Two measurements are compared on the samples that both have.
        """
        better = self.best is None or _mean_change(self.best, gold_n) > 0.0
        self.below = self.below + 1 if self.behind(gold_n) else 0
        if better:
            self.best = [float(score) for score in np.asarray(gold_n, np.float64)]
        return better

    def behind(self, gold_n: Scores) -> bool:
        """Whether a measurement (N,) is below the best one, beyond noise."""
        return self.best is not None and fell(self.best, gold_n)

    def ends_behind(self, gold_n: Scores) -> bool:
        """Whether the last measurement (N,) completes a fall as long as the patience."""
        return self.active and self.below + 1 >= self.patience and self.behind(gold_n)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"best": self.best, "below": self.below}

    def restore(self, state: dict[str, Any]) -> None:
        """Replace what was observed by a `state()` of before."""
        self.best, self.below = state["best"], state["below"]


def _changes(start: npt.ArrayLike, now: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Of the samples that are finite in both."""
    change = np.asarray(now, np.float64) - np.asarray(start, np.float64)
    return change[np.isfinite(change)]


def _mean_change(start: npt.ArrayLike, now: npt.ArrayLike) -> float:
    """0 if the two have no sample in common."""
    change = _changes(start, now)
    return float(change.mean()) if change.size else 0.0
