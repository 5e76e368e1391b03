"""What an epoch is described by: the distribution of its rewards, and how alike its samples are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from components.core.realism.diversity import mean_pairwise_distance

FloatArray = npt.NDArray[np.floating[Any]]

QUANTILES = (0.1, 0.5, 0.9)


def reward_metrics(
    name: str, rewards_n: FloatArray, categories: Sequence[str] = ()
) -> dict[str, float]:
    """Mean `name`, `name_std`, quantiles `name_q10`.., and `name/<category>` of rewards (N,).

    Rewards that are not finite belong to dropped samples and are left out. categories: one a
    sample, or none at all.
    """
    known = np.isfinite(rewards_n)
    values = rewards_n[known]
    if not values.size:
        return {}
    result = {name: float(values.mean()), f"{name}_std": float(values.std())}
    for share, value in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True):
        result[f"{name}_q{round(share * 100)}"] = float(value)
    names = np.asarray(categories)[known] if len(categories) else np.array([], str)
    for category in sorted(set(names.tolist())):
        result[f"{name}/{category}"] = float(values[names == category].mean())
    return result


def paired_change(name: str, start_n: FloatArray, now_n: FloatArray) -> dict[str, float]:
    """Mean change `name` of scores (N,) of the same samples, `name_low` and `name_high`.

    These bound its 95 % interval by Student's t; samples that are not finite in either are left
    out, and fewer than two have no interval.
    """
    change = np.asarray(now_n, np.float64) - np.asarray(start_n, np.float64)
    change = change[np.isfinite(change)]
    if change.size < 2:
        return {}
    mean = float(change.mean())
    error = float(change.std(ddof=1) / np.sqrt(change.size))
    margin = float(student.ppf(0.975, change.size - 1)) * error
    return {name: mean, f"{name}_low": mean - margin, f"{name}_high": mean + margin}


def diversity(features_nd: npt.NDArray[np.float32] | None) -> float | None:
    """Mean CLIP distance over all pairs of samples (N, D); None if fewer than two are known."""
    if features_nd is None:
        return None
    known = features_nd[np.isfinite(features_nd).all(axis=1)]
    if len(known) < 2:
        return None
    return mean_pairwise_distance(known / np.linalg.norm(known, axis=1, keepdims=True))


def flat(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a history row as metrics; seconds by phase become `seconds/<phase>`."""
    values = {key: value for key, value in row.items() if isinstance(value, float)}
    phases = row.get("seconds", {})
    return values | {f"seconds/{phase}": float(spent) for phase, spent in phases.items()}
