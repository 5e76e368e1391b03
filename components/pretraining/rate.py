"""The learning rate over a training: a linear warm-up, then half a cosine down to 2 %."""

from __future__ import annotations

import math


def schedule(step: int, steps: int, warmup: int = 100) -> float:
    """Factor on the peak learning rate at `step` of `steps`."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * done))
