"""Pure statistics of a paired comparison: no files, no models, arrays in and numbers out.

A pair is one prompt and seed, sampled before and after reinforcement learning and rendered under
the same light. Seeds of one prompt are not independent, so the prompt is the unit of resampling:
the confidence interval is a cluster bootstrap, Student's for few prompts, and the test flips the
sign of whole prompts (Fisher's randomisation test, The Design of Experiments, 1935, section 21).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from components.core.intervals import confidence_interval
from components.core.realism.diversity import mean_pairwise_distance

Floats = npt.NDArray[np.floating]

EXACT_CLUSTERS = 16
"""Up to this many clusters, all 2^n sign patterns are counted instead of sampled."""

_BLOCK = 4096


@dataclass(frozen=True)
class PairedDifference:
    """The mean change of a score over pairs; `ci95`: see `confidence_interval`."""

    pairs: int
    before_mean: float
    after_mean: float
    difference: float
    ci95: tuple[float, float]
    p_value: float

    def as_dict(self) -> dict[str, object]:
        """The keys of `before_after` and `gold` in report.json."""
        return {**asdict(self), "ci95": list(self.ci95)}


def paired_difference(
    before: Floats, after: Floats, clusters: Sequence[str], *, seed: int, resamples: int = 10_000
) -> PairedDifference:
    """Compare `after` (N,) with `before` (N,); pair i belongs to the prompt `clusters[i]`."""
    if not len(before) == len(after) == len(clusters):
        raise ValueError(f"{len(before)} before, {len(after)} after, {len(clusters)} clusters")
    if len(before) == 0:
        raise ValueError("no pairs to compare")
    if len(set(clusters)) < 2:
        raise ValueError("pairs of one prompt alone have no interval: 2 prompts are needed")
    change = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    sums, counts = _cluster_sums(change, clusters)
    rng = np.random.default_rng(seed)
    return PairedDifference(
        pairs=len(change),
        before_mean=float(np.mean(before)),
        after_mean=float(np.mean(after)),
        difference=float(change.mean()),
        ci95=confidence_interval(sums, counts, rng, resamples),
        p_value=sign_flip_p_value(sums, rng, resamples),
    )


@dataclass(frozen=True)
class Jackknife:
    """The 95 % interval of a value and the p-value (two-sided) of the hypothesis that it is 0."""

    low: float
    high: float
    p_value: float


def jackknife(value: float, left_out: Floats) -> Jackknife | None:
    """Of a measure of a whole set, from the same without one prompt at a time (Tukey 1958).

    No bootstrap: that draws prompts with replacement, and the copies would lower any diversity.

    Args:
        value: the measure of all rows.
        left_out: (P,) of all rows but those of prompt p; NaN where so few have none.

    Returns:
        None for fewer than three prompts that can be left out.
    """
    left = np.asarray(left_out, np.float64)
    left = left[np.isfinite(left)]
    count = len(left)
    if count < 3:
        return None
    error = float(np.sqrt((count - 1) / count * np.sum((left - left.mean()) ** 2)))
    half = float(student.ppf(0.975, count - 1)) * error
    # Two sets that are the same to the last bit differ in nothing.
    tail = float(student.sf(abs(value) / error, count - 1)) if error > 0 else float(value == 0) / 2
    return Jackknife(value - half, value + half, 2 * tail)


def sign_flip_p_value(sums: Floats, rng: np.random.Generator, resamples: int) -> float:
    """Two-sided p-value of the hypothesis that each cluster's sum is as likely with either sign.

    Exact for at most EXACT_CLUSTERS clusters; else Monte Carlo with (k + 1) / (n + 1), which is
    never 0. The tolerance counts patterns that equal the observed sum but for rounding.
    """
    observed = abs(float(sums.sum())) - 1e-9 * float(np.abs(sums).sum())
    if len(sums) <= EXACT_CLUSTERS:
        patterns = np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1
        return float(np.mean(np.abs((1.0 - 2.0 * patterns) @ sums) >= observed))
    extreme = 0
    for start in range(0, resamples, _BLOCK):
        block = min(_BLOCK, resamples - start)
        signs = 1.0 - 2.0 * rng.integers(2, size=(block, len(sums)))
        extreme += int(np.count_nonzero(np.abs(signs @ sums) >= observed))
    return (extreme + 1) / (resamples + 1)


def diversity_within(features: Floats, clusters: Sequence[str]) -> float | None:
    """Mean over prompts of the mean pairwise distance of their seeds; None if all have one seed."""
    names = np.asarray(clusters)
    groups = [features[names == name] for name in dict.fromkeys(clusters)]
    distances = [mean_pairwise_distance(group) for group in groups if len(group) > 1]
    return float(np.mean(distances)) if distances else None


def auc(positive: Floats, negative: Floats) -> float:
    """Probability that a positive's score is above a negative's (area under the ROC curve)."""
    labels = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    return float(roc_auc_score(labels, np.concatenate([positive, negative])))


def histogram(sets: Mapping[str, Floats], bins: int = 24) -> dict[str, Any]:
    """Counts of every set in bins of equal width over the range of all of them."""
    edges = np.histogram_bin_edges(np.concatenate(list(sets.values())), bins=bins)
    counts = {name: np.histogram(values, edges)[0].tolist() for name, values in sets.items()}
    return {"edges": edges.tolist(), **counts}


def _cluster_sums(change: Floats, clusters: Sequence[str]) -> tuple[Floats, Floats]:
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    counts = np.bincount(index).astype(np.float64)
    return np.bincount(index, weights=change).astype(np.float64), counts
