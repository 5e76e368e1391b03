"""Measures of a whole set of materials: how diverse it is, how far it lies from photographs.

Each is known also without one prompt at a time, from which a jackknife makes the interval of a
measure and, since all methods have the same prompts, of the difference of two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.core.realism.diversity import mean_pairwise_distance
from components.evaluation.comparison import Side
from components.evaluation.metrics.diversity import vendi_score
from components.evaluation.metrics.kid import kernel_distance, unit_scaled
from components.evaluation.statistics import diversity_within, jackknife

Floats = npt.NDArray[np.floating]
SET_MEASURES = ("distance", "distance_within", "vendi", "kid")


@dataclass(frozen=True)
class SetMeasure:
    """A measure of all materials, and (P,) without those of each prompt; NaN where it has none."""

    value: float
    left_out: Floats


def set_measures(
    side: Side, prompts: Sequence[str], reference_md: Floats | None
) -> dict[str, SetMeasure]:
    """By name, the mean over the lights. prompts: of each of the side's materials.

    `kid` only with reference features, `distance_within` only with several seeds of a prompt.
    """
    names = np.asarray(prompts)
    whole = _of(side.features_nld, prompts, reference_md)
    without = []
    for prompt in dict.fromkeys(prompts):
        kept = names != prompt
        without.append(_of(side.features_nld[kept], names[kept].tolist(), reference_md))
    return {
        name: SetMeasure(value, np.array([one.get(name, np.nan) for one in without], np.float64))
        for name, value in whole.items()
    }


def with_intervals(measured: Mapping[str, SetMeasure]) -> dict[str, float]:
    """Each value by name, with `_low` and `_high` of 95 % where there are prompts enough."""
    result: dict[str, float] = {}
    for name, one in measured.items():
        result[name] = one.value
        found = jackknife(one.value, one.left_out)
        if found is not None:
            result |= {f"{name}_low": found.low, f"{name}_high": found.high}
    return result


def _of(
    features_nld: Floats, prompts: Sequence[str], reference_md: Floats | None
) -> dict[str, float]:
    def kid(one: Floats) -> float | None:
        if reference_md is None or len(one) < 2:
            return None
        return kernel_distance(unit_scaled(one), unit_scaled(reference_md))

    computed: dict[str, Callable[[Floats], float | None]] = {
        "distance": lambda one: mean_pairwise_distance(one) if len(one) > 1 else None,
        "distance_within": lambda one: diversity_within(one, prompts),
        "vendi": vendi_score,
        "kid": kid,
    }
    if not len(features_nld):
        return {}
    result = {}
    for name, compute in computed.items():
        values = [compute(features_nld[:, i]) for i in range(features_nld.shape[1])]
        known = [value for value in values if value is not None]
        if known:
            result[name] = float(np.mean(known))
    return result
