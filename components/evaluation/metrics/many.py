"""P-values of many comparisons at once: the chance of any false alarm stays at the level."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from statsmodels.stats.multitest import multipletests

Name = TypeVar("Name", bound=Hashable)


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Holm's step-down correction (1979): corrected p-values under the same names.

    It holds however the comparisons depend on each other, which here share a base and prompts.
    """
    if not p_values:
        return {}
    corrected = multipletests(list(p_values.values()), method="holm")[1]
    return {name: float(value) for name, value in zip(p_values, corrected, strict=True)}
