"""The total variation of a score over a graph of similar images (paper, equation 5, L_tv).

The paper adds a total variation term "for CLIP features ... encouraging similar scores for similar
inputs". Johnson et al., whom it cites, penalise squared differences of neighbouring pixels, that is
total variation with exponent 2. Here the place of the pixel grid is taken by the graph that joins
every image with its k nearest images in CLIP space, photographs with photographs and renderings of
generated materials with such:

    L_tv = 1 / B^2 * sum over the images i of a batch and their neighbours j of (r(x_i) - r(x_j))^2

that is, the mean over the B x B pairs of a batch of B, in which all but k / B are no neighbours and
count nothing. With this normalisation the paper's weights, 1 and 100, keep both terms in force at
its batch of 64; divided by the number of edges instead, the term would flatten the score.

For a linear r with weights w this is w^T S w, with S proportional to the mean outer product of the
differences of neighbouring features: the term takes weight away from the directions in which
look-alikes differ, and leaves it to those that tell realistic from unrealistic. An edge between a
photograph and a rendering that looks like it would take away just those, hence there is none.

Most of what it does to a linear score is to shrink it: tests/reward_training/bench_real.py reports
the deviation among look-alikes also divided by the range of all scores, which falls far less.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from components.core.realism.linear import Score


def nearest(features: NDArray[np.float32], neighbours: int) -> NDArray[np.int64]:
    """(N, k) rows of the k most similar other images, by cosine of unit features (N, D)."""
    k = min(neighbours, len(features) - 1)
    index = faiss.IndexFlatIP(features.shape[1])
    index.add(np.ascontiguousarray(features))
    _, found = index.search(np.ascontiguousarray(features), k + 1)
    # An image is usually its own first neighbour, but not where it has exact twins.
    return np.stack([row[row != i][:k] for i, row in enumerate(found)]).astype(np.int64)


def nearest_within(
    features: NDArray[np.float32], sets: NDArray[Any], neighbours: int
) -> NDArray[np.int64]:
    """(N, k) rows of the k most similar other images of the same set; sets: (N,).

    Where a set has fewer, the image itself, which differs by nothing, takes the places left.
    """
    found = np.repeat(np.arange(len(features))[:, None], neighbours, axis=1)
    for name in np.unique(sets):
        rows = np.flatnonzero(sets == name)
        near = rows[nearest(features[rows], neighbours)]
        found[rows, : near.shape[1]] = near
    return found


def total_variation(score: Score, x_bd: torch.Tensor, neighbours_bkd: torch.Tensor) -> torch.Tensor:
    """L_tv of a batch of features (B, D) and the neighbours (B, k, D) of each of them."""
    batch, k, width = neighbours_bkd.shape
    others = score(neighbours_bkd.reshape(batch * k, width)).reshape(batch, k)
    return (score(x_bd)[:, None] - others).square().sum() / batch**2
