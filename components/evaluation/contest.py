"""Several generators on the same prompts, seeds and lights: numbers for each and between them.

The first method is the one that the others are compared with. Every comparison is paired, its
interval resamples prompts (`statistics`), and its p-value is corrected for all of them (Holm).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.materials.seam import material_seam
from components.core.platform.seeds import derive_seed
from components.core.realism.diversity import mean_pairwise_distance
from components.core.realism.reward import GOLD, REWARD
from components.evaluation.comparison import Pair, Side
from components.evaluation.metrics.baking import light_baking
from components.evaluation.metrics.diversity import vendi_score
from components.evaluation.metrics.kid import kernel_distance, unit_scaled
from components.evaluation.metrics.many import holm
from components.evaluation.metrics.maps import map_statistics, metal_as_asked
from components.evaluation.statistics import diversity_within, jackknife, paired_difference

Floats = npt.NDArray[np.floating]
COMPARED = (
    REWARD, GOLD, "clip_score", "recognised", "light_baking", "seam", "metal_as_asked", "contrast",
)  # fmt: skip
"""The measures whose differences are tested, those of them that every method has."""


def measures(side: Side) -> dict[str, Floats]:
    """Every measure of single materials by name, (N,) each; NaN where a material has none."""
    maps = [map_statistics(material).as_dict() for material in side.materials]
    return {
        **{name: np.asarray(scores, np.float64) for name, scores in side.scores.items()},
        "clip_score": side.clip_score_n,
        "recognised": side.recognised_n,
        "seam": np.array([material_seam(material) for material in side.materials]),
        "light_baking": np.array([light_baking(m) for m in side.materials], np.float64),
        "metal_as_asked": np.array([float(metal_as_asked(m)) for m in side.materials]),
        **{name: np.array([row[name] for row in maps]) for name in maps[0]},
    }


def set_measures(
    side: Side, prompts: Sequence[str], reference_md: Floats | None
) -> dict[str, float]:
    """The measures of the whole set, light by light, each with `_low` and `_high` of 95 %.

    `kid` only with reference features, `distance_within` only with several seeds of a prompt.
    """
    measured = _of_set(side.features_nld, prompts, reference_md)
    result: dict[str, float] = {}
    for name, value in measured.items():
        result[name] = value
        one = functools.partial(_of_some, side, prompts, reference_md, name)
        interval = jackknife(one, prompts, value)
        if interval is not None:
            result[f"{name}_low"], result[f"{name}_high"] = interval
    return result


def _of_some(
    side: Side, prompts: Sequence[str], reference_md: Floats | None, name: str, kept: list[int]
) -> float | None:
    """One measure of some of the materials."""
    rows = side.features_nld[kept]
    return _of_set(rows, [prompts[i] for i in kept], reference_md, only=name).get(name)


def _of_set(
    features_nld: Floats, prompts: Sequence[str], reference_md: Floats | None, only: str = ""
) -> dict[str, float]:
    def kid(one: Floats) -> float | None:
        if reference_md is None or len(one) < 2:
            return None
        return kernel_distance(unit_scaled(one), unit_scaled(reference_md))

    computed: dict[str, Callable[[Floats], float | None]] = {
        "distance": mean_pairwise_distance,
        "distance_within": lambda one: diversity_within(one, prompts),
        "vendi": vendi_score,
        "kid": kid,
    }
    result = {}
    for name, compute in computed.items():
        if only in ("", name):
            values = [compute(features_nld[:, i]) for i in range(features_nld.shape[1])]
            known = [value for value in values if value is not None]
            if known:
                result[name] = float(np.mean(known))
    return result


def mean_of(values: Floats) -> float | None:
    """The mean of the values that there are; None if there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def by_category(
    pairs: Sequence[Pair], methods: Mapping[str, Mapping[str, Floats]]
) -> list[dict[str, Any]]:
    """One row a method and category: how many materials, and the mean of every measure."""
    named = np.array([pair.category for pair in pairs])
    return [
        {"method": method, "category": category, "materials": int((named == category).sum())}
        | {name: mean_of(values[named == category]) for name, values in measured.items()}
        for method, measured in methods.items()
        for category in sorted(set(named.tolist()))
    ]


def differences(
    pairs: Sequence[Pair],
    methods: Mapping[str, Mapping[str, Floats]],
    *,
    seed: int,
    resamples: int = 10_000,
) -> list[dict[str, Any]]:
    """One row a method other than the first and measure: other minus first, `p_holm` corrected.

    Pairs that one of the two has no value for count in no row; pairs of one prompt alone have no
    interval, and no row.
    """
    first, *others = methods
    prompts = np.array([pair.prompt for pair in pairs])
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for other in others:
        for name in (n for n in COMPARED if n in methods[first]):
            before, after = methods[first][name], methods[other][name]
            known = np.isfinite(before) & np.isfinite(after)
            if len(set(prompts[known])) < 2:
                continue
            result = paired_difference(
                before[known],
                after[known],
                prompts[known].tolist(),
                seed=derive_seed(seed, "contest", other, name),
                resamples=resamples,
            )
            low, high = result.ci95
            rows[other, name] = {
                "method": other, "against": first, "measure": name, "pairs": result.pairs,
                "difference": result.difference, "low": low, "high": high,
                "p_value": result.p_value,
            }  # fmt: skip
    corrected = holm({key: row["p_value"] for key, row in rows.items()})
    return [{**row, "p_holm": corrected[key]} for key, row in rows.items()]
