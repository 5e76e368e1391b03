"""How visibly a material's edges fail to meet when it is laid as tiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.core.materials.material import FloatArray, Material

STRONGEST = 1 / 6
"""Share of the lines inside, the strongest, that the border is compared with: layouts (joints
between bricks) have strong lines that are no seams."""

TILES = 1.6
"""The `material_seam` up to which a material is laid as tiles; the library's stay below."""


def seam(values: FloatArray) -> float:
    """The step across the border over the strong steps inside, the worse of both directions.

    values: (H, W) or (H, W, C). About 1 or less for a tileable map; a flat map has 0.
    """
    return max(_along(values), _along(np.swapaxes(values, 0, 1)))


def material_seam(material: Material) -> float:
    """The worst `seam` of the maps that are not flat."""
    maps = (material.albedo, material.height, material.roughness)
    return max(seam(values) for values in maps)


def tiles(material: Material) -> bool:
    """Whether its edges meet well enough to be laid as tiles, or shifted around them."""
    return material_seam(material) <= TILES


def _along(values: FloatArray) -> float:
    """The border between the last and the first row against the lines between other rows."""
    steps: NDArray[np.float64] = np.abs(values - np.roll(values, 1, axis=0)).astype(np.float64)
    lines = steps.reshape(len(steps), -1).mean(axis=1)
    inside = np.sort(lines[1:])
    strong = float(inside[-max(1, round(len(inside) * STRONGEST)) :].mean())
    return float(lines[0]) / strong if strong > 1e-6 else float(lines[0] > 1e-6)
