"""Augmentation by crops, rotations and mirrorings (paper section 4.1), for grids and for images.

A crop of a tileable map is a shift with wrap-around, which keeps its resolution. All four maps
of a grid get the same operation. Height is a scalar map, so that rotating it rotates the normals
which are derived from it: nothing else is directional.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]


def augment_tile(tile_hwc: Images, rng: np.random.Generator) -> Images:
    """One tileable square map (R, R, C): random shift, quarter turn and mirroring."""
    shift = rng.integers(0, tile_hwc.shape[0], size=2)
    moved = np.roll(tile_hwc, (int(shift[0]), int(shift[1])), (0, 1))
    return symmetric(moved, rng)


def symmetric(image_hwc: Images, rng: np.random.Generator) -> Images:
    """A random one of the square's eight symmetries."""
    turned = np.rot90(image_hwc, int(rng.integers(4)))
    return np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned)


def augment_grid(grid_hwc: Images, rng: np.random.Generator) -> Images:
    """A 2×2 grid (2R, 2R, 3): the same operation on each of its four maps."""
    half = grid_hwc.shape[0] // 2
    maps = grid_hwc.reshape(2, half, 2, half, 3).transpose(1, 3, 0, 2, 4).reshape(half, half, 12)
    augmented = augment_tile(maps, rng).reshape(half, half, 2, 2, 3)
    return np.ascontiguousarray(augmented.transpose(2, 0, 3, 1, 4).reshape(grid_hwc.shape))
