"""Diversity: how far apart materials are, as CLIP sees them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def mean_pairwise_distance(features: Floats) -> float:
    """Mean 1 - cosine over all pairs of rows of `features` (N, D), rows of unit length.

    Uses sum_ij <f_i, f_j> = |sum_i f_i|^2, so it needs no N x N matrix.
    """
    count = len(features)
    if count < 2:
        raise ValueError("a distance needs at least two features")
    features = np.asarray(features, np.float64)
    total = features.sum(axis=0)
    off_diagonal = float(total @ total) - float((features**2).sum())
    return 1.0 - off_diagonal / (count * (count - 1))
