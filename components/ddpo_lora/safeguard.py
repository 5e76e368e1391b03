"""The gradient-norm safeguard: an optimizer step that stands out is not taken.

Clipping to `max_gradient_norm` bounds a step but keeps its direction, which in a step a hundred
times as large as usual is that of one broken sample, and AdamW remembers it for a thousand steps.
"""

from collections import deque
from collections.abc import Sequence
from math import isfinite
from statistics import median

REMEMBERED = 32
"""Norms that the usual norm is the median of."""
NEEDED = 8
"""With fewer, nothing stands out yet."""


class NormGuard:
    """Refuses norms that are not finite or exceed `factor` times the median of recent ones.

    factor: 0 switches the guard off.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._norms: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def active(self) -> bool:
        """Whether anything can be refused."""
        return self._factor > 0.0

    def accepts(self, norm: float) -> bool:
        """Judge the norm of a gradient before clipping, and remember it if it is finite.

        A large norm is remembered too: if gradients have grown for good, that becomes usual.
        """
        if not self.active:
            return True
        usual = median(self._norms) if len(self._norms) >= NEEDED else float("inf")
        if isfinite(norm):
            self._norms.append(norm)
        return isfinite(norm) and norm <= self._factor * usual

    def state(self) -> list[float]:
        """For a checkpoint: the remembered norms, oldest first."""
        return list(self._norms)

    def restore(self, state: Sequence[float]) -> None:
        """Replace what is remembered by a `state()` of before."""
        self._norms = deque(state, maxlen=REMEMBERED)
