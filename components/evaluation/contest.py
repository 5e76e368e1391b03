"""Several generators on the same prompts, seeds and lights: numbers for each and between them.

The first method is the one that the others are compared with. Every comparison is paired, its
interval is over prompts (`statistics`), which are drawn for means and left out one at a time for
measures of the whole set; and its p-value is corrected for all of them (Holm).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.materials.seam import material_seam
from components.core.platform.seeds import derive_seed
from components.core.realism.reward import GOLD, REWARD
from components.evaluation.comparison import Pair, Side
from components.evaluation.metrics.baking import light_baking
from components.evaluation.metrics.many import holm
from components.evaluation.metrics.maps import map_statistics, metal_as_asked
from components.evaluation.set_measures import SET_MEASURES, SetMeasure
from components.evaluation.statistics import jackknife, paired_difference

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
    sets: Mapping[str, Mapping[str, SetMeasure]] | None = None,
    *,
    seed: int,
    resamples: int = 10_000,
) -> list[dict[str, Any]]:
    """One row a method other than the first and measure: other minus first, `p_holm` corrected.

    Pairs that one of the two has no value for count in no row; pairs of one prompt alone have no
    interval, and no row. sets: the measures of each method's whole set, by the same names.
    """
    first, *others = methods
    prompts = np.array([pair.prompt for pair in pairs])
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for other in others:
        about = {"method": other, "against": first}
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
                **about, "measure": name, "pairs": result.pairs,
                "difference": result.difference, "low": low, "high": high,
                "p_value": result.p_value,
            }  # fmt: skip
        own, theirs = (sets or {}).get(first, {}), (sets or {}).get(other, {})
        for name in (n for n in SET_MEASURES if n in own and n in theirs):
            change = theirs[name].value - own[name].value
            found = jackknife(change, theirs[name].left_out - own[name].left_out)
            if found is not None:
                rows[other, name] = {
                    **about, "measure": name, "pairs": len(pairs), "difference": change,
                    "low": found.low, "high": found.high, "p_value": found.p_value,
                }  # fmt: skip
    corrected = holm({key: row["p_value"] for key, row in rows.items()})
    return [{**row, "p_holm": corrected[key]} for key, row in rows.items()]
