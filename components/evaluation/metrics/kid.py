"""Kernel distance between two sets of features (KID, Bińkowski et al. 2018, section 4).

The squared maximum mean discrepancy under the cubic kernel (x·y / D + 1)³. Unlike Fréchet's
distance the estimate is unbiased, so sets of a few dozen images can be compared; the price is that
sets of one distribution scatter around 0 and may have a negative distance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def unit_scaled(features_nd: Floats) -> Floats:
    """Unit vectors (N, D) at length √D, the size of the features that KID was made for.

    Without this the kernel of CLIP's unit vectors is almost linear: x·y / D is at most 1 / D.
    """
    return features_nd * np.sqrt(features_nd.shape[1])


def kernel_distance(first_nd: Floats, second_md: Floats) -> float:
    """Unbiased squared discrepancy of two sets of features, (N, D) and (M, D), N and M ≥ 2."""
    if min(len(first_nd), len(second_md)) < 2:
        raise ValueError(f"sets of {len(first_nd)} and {len(second_md)} features: 2 are needed")
    first, second = np.asarray(first_nd, np.float64), np.asarray(second_md, np.float64)
    between = _kernel(first, second).mean()
    return float(_within(first) + _within(second) - 2.0 * between)


def _within(features: Floats) -> float:
    """Mean kernel over pairs of different rows."""
    values, count = _kernel(features, features), len(features)
    return float((values.sum() - np.trace(values)) / (count * (count - 1)))


def _kernel(first: Floats, second: Floats) -> Floats:
    values: Floats = (first @ second.T / first.shape[1] + 1.0) ** 3
    return values
