"""How many really different things a set holds (Vendi score, Friedman and Dieng 2023)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def vendi_score(features_nd: Floats) -> float:
    """Effective number of different rows: 1 if all are alike, N if all are orthogonal.

    exp of the entropy of the eigenvalues of K / N with K the cosines. features_nd: rows of unit
    length, (N, D). The eigenvalues are those of the smaller of FFᵀ and FᵀF.
    """
    features = np.asarray(features_nd, np.float64)
    count, width = features.shape
    if count == 0:
        raise ValueError("no features to count")
    gram = features @ features.T if count <= width else features.T @ features
    shares = np.linalg.eigvalsh(gram / count)
    shares = shares[shares > 1e-12]
    return float(np.exp(-np.sum(shares * np.log(shares))))
