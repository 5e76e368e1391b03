"""95 % intervals of a mean over clusters, such as the seeds of a prompt or the votes of a person.

What comes from one cluster is not independent, so that clusters are what is drawn: by a bootstrap
where there are enough of them, else by Student's distribution.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from scipy.stats import t as student

Floats = npt.NDArray[np.floating]

FEW_CLUSTERS = 10
"""Below this many a bootstrap knows too little: no draw goes beyond the extreme clusters."""

_BLOCK = 4096


def confidence_interval(
    sums: Floats, counts: Floats, rng: np.random.Generator, resamples: int
) -> tuple[float, float]:
    """95 % interval of the mean over C ≥ 2 clusters, whose sums and counts are given, (C,) each."""
    if len(sums) < FEW_CLUSTERS:
        return student_ci(sums, counts)
    return bootstrap_ci(sums, counts, rng, resamples)


def student_ci(sums: Floats, counts: Floats) -> tuple[float, float]:
    """95 % Student interval, C - 1 degrees, of the mean as a ratio of sums to counts, (C,) each.

    The ratio estimator's variance (Cochran 1977, Sampling Techniques, section 6.3); clusters of one
    size give the plain t interval of their means. Two clusters can show almost nothing.
    """
    clusters, total = len(sums), float(counts.sum())
    mean = float(sums.sum()) / total
    variance = clusters / (clusters - 1) * float(np.sum((sums - mean * counts) ** 2)) / total**2
    half = float(student.ppf(0.975, clusters - 1)) * variance**0.5
    return mean - half, mean + half


def bootstrap_ci(
    sums: Floats, counts: Floats, rng: np.random.Generator, resamples: int
) -> tuple[float, float]:
    """95 % percentile interval of the mean, drawing clusters (sums, counts: (C,)) anew.

    The plain percentile interval is too narrow for few clusters: its spread is that of a variance
    divided by C and its ends are a normal's. Both are widened to Student's with C - 1 degrees
    (the "expanded percentile" interval of Hesterberg 2015, "What teachers should
    know about the bootstrap").
    """
    count = len(sums)
    wider = student.ppf(0.975, count - 1) * np.sqrt(count / (count - 1))
    tail = float(norm.cdf(-wider))
    means = []
    for start in range(0, resamples, _BLOCK):
        block = min(_BLOCK, resamples - start)
        drawn = rng.integers(len(sums), size=(block, len(sums)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)
