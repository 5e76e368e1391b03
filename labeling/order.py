"""Which images people judge first: those that the classifiers are least sure about.

Judging these teaches a classifier most, but a sample of doubtful images is no picture of the set.
So a share of the images, drawn at random within each category, is spread evenly through the order
whatever the classifiers say of them; measured on that share, nothing is biased.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def random_share(
    categories: Sequence[str], share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """(N,): the same share of every category, drawn at random; rounded up."""
    chosen = np.zeros(len(categories), dtype=np.bool_)
    for category in sorted(set(categories)):
        members = np.flatnonzero(np.array(categories) == category)
        count = min(len(members), int(np.ceil(share * len(members))))
        chosen[rng.permutation(members)[:count]] = True
    return chosen


def order_scores(
    margins: NDArray[np.float64], random: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Scores (N,) by which the images are given out, the lowest first.

    margins (N,): how sure the classifier is, 0 for not at all. The images of the random share take
    evenly spaced quantiles of the others' margins, in random order.
    """
    scores = margins.astype(np.float64).copy()
    members = rng.permutation(np.flatnonzero(random))
    if len(members) == 0:
        return scores
    places = (np.arange(len(members)) + 0.5) / len(members)
    others = margins[~random]
    scores[members] = np.quantile(others, places) if len(others) else places
    return scores
