"""Ambient occlusion of a height map: how much of the sky each point of the relief sees.

Horizon-based (Bavoil et al. 2008): in each of a few directions the steepest rise bounds the sky
from below. Under a uniform sky, cosine-weighted, a horizon at angle h hides sin(h)^2 of a slice.
"""

from __future__ import annotations

import numpy as np

from components.core.materials.material import FloatArray

DIRECTIONS = 12
REACH = 0.12
"""Farthest occluder, in sides of the tile."""
STEPS = 24


def occlusion(height: FloatArray, displacement: float = 0.06) -> FloatArray:
    """The visible share of the sky (H, W) in [0, 1] of a tileable height map (H, W) in [0, 1].

    displacement: the range of heights in sides of the tile.
    """
    rows, columns = height.shape
    # Distances in texels, growing as squares: near occluders matter most.
    distances = np.unique(np.round(np.linspace(1, np.sqrt(REACH * rows), STEPS) ** 2).astype(int))
    visible = np.zeros(height.shape, np.float32)
    for angle in np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS):
        steepest = np.zeros(height.shape, np.float32)
        for distance in distances:
            down = round(float(distance * np.sin(angle)))
            right = round(float(distance * np.cos(angle)))
            away = float(np.hypot(down / rows, right / columns))
            if away == 0.0:
                continue
            rise = np.roll(height, (-down, -right), (0, 1)) - height
            np.maximum(steepest, rise * np.float32(displacement / away), out=steepest)
        visible += 1 / (1 + np.square(steepest))  # 1 - sin(atan(s))^2
    return visible / np.float32(DIRECTIONS)
