"""Several generators on the same prompts, seeds and lights: numbers for each and between them.

The first method is the one that the others are compared with. Every comparison is paired, its
interval resamples prompts (`statistics`), and its p-value is corrected for all of them (Holm).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.materials.seam import material_seam
from components.core.platform.seeds import derive_seed
from components.core.realism.diversity import mean_pairwise_distance
from components.core.realism.reward import REWARD
from components.evaluation.comparison import Pair, Side
from components.evaluation.metrics.baking import light_baking
from components.evaluation.metrics.diversity import vendi_score
from components.evaluation.metrics.kid import kernel_distance, unit_scaled
from components.evaluation.metrics.many import holm
from components.evaluation.metrics.maps import map_statistics, metal_as_asked
from components.evaluation.statistics import paired_difference

Floats = npt.NDArray[np.floating]
COMPARED = (REWARD, "clip_score", "recognised", "light_baking", "seam")
"""The measures whose differences are tested, those of them that every method has."""


def measures(side: Side) -> dict[str, Floats]:
    """Every measure of single materials by name, (N,) each."""
    maps = [map_statistics(material).as_dict() for material in side.materials]
    return {
        **{name: np.asarray(scores, np.float64) for name, scores in side.scores.items()},
        "clip_score": side.clip_score_n,
        "recognised": side.recognised_n,
        "seam": np.array([material_seam(material) for material in side.materials]),
        "light_baking": np.array([light_baking(material) for material in side.materials]),
        "metal_as_asked": np.array([float(metal_as_asked(m)) for m in side.materials]),
        **{name: np.array([row[name] for row in maps]) for name in maps[0]},
    }


def set_measures(side: Side, reference_md: Floats | None) -> dict[str, float]:
    """The measures of the whole set, light by light; `kid` only with reference features."""
    lights = [side.features_nld[:, i] for i in range(side.features_nld.shape[1])]
    result = {
        "distance": float(np.mean([mean_pairwise_distance(one) for one in lights])),
        "vendi": float(np.mean([vendi_score(one) for one in lights])),
    }
    if reference_md is not None:
        reference = unit_scaled(reference_md)
        distances = [kernel_distance(unit_scaled(one), reference) for one in lights]
        result["kid"] = float(np.mean(distances))
    return result


def by_category(
    pairs: Sequence[Pair], methods: Mapping[str, Mapping[str, Floats]]
) -> list[dict[str, Any]]:
    """One row a method and category: how many materials, and the mean of every measure."""
    named = np.array([pair.category for pair in pairs])
    return [
        {"method": method, "category": category, "materials": int((named == category).sum())}
        | {name: float(values[named == category].mean()) for name, values in measured.items()}
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
    """One row a method other than the first and measure: other minus first, `p_holm` corrected."""
    first, *others = methods
    prompts = [pair.prompt for pair in pairs]
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for other in others:
        for name in (n for n in COMPARED if n in methods[first]):
            result = paired_difference(
                methods[first][name],
                methods[other][name],
                prompts,
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
