"""Vectors as photo databases have them: many groups of like images, few directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def vectors(count: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    """(count, dimension) unit vectors around group centres of unequal sizes."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(64, dimension)).astype(np.float32) / np.sqrt(dimension)
    groups = max(16, count // 200)
    centres = rng.normal(size=(groups, 64)).astype(np.float32) @ directions
    # Zipf's law, cut: some groups hold hundreds of times as many as others.
    sizes = 1 / (1 + np.arange(groups)) ** 0.6
    found = np.empty((count, dimension), np.float32)
    for start in range(0, count, 65_536):
        stop = min(count, start + 65_536)
        chosen = rng.choice(groups, stop - start, p=sizes / sizes.sum())
        noise = rng.normal(size=(stop - start, 64)).astype(np.float32) @ directions
        fine = rng.normal(size=(stop - start, dimension)).astype(np.float32) / np.sqrt(dimension)
        part = centres[chosen] + 0.5 * noise + 1.5 * fine
        found[start:stop] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return found


def recall(found: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """Share of the true neighbours (Q, k) that were found."""
    hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), true.tolist(), strict=True)]
    return sum(hits) / true.size
