"""The displaced surface as plain arrays: vertices at texel centres, going on beyond the tile."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.float32]
Wrap = Literal["repeat", "mirror"]

_PAD: dict[str, Literal["wrap", "symmetric"]] = {"repeat": "wrap", "mirror": "symmetric"}


def lattice(resolution: int, margin: int) -> tuple[FloatArray, NDArray[np.uint32]]:
    """Points (n * n, 2) in the plane and triangles (m, 3), with n = resolution + 2 * margin.

    Point (row, column) is at x = (column - margin + 0.5) / resolution and, rows running downwards
    as in an image, y = 1 - (row - margin + 0.5) / resolution. Triangles face up (+z).
    """
    count = resolution + 2 * margin
    along = ((np.arange(count) - margin + 0.5) / resolution).astype(np.float32)
    x, down = np.meshgrid(along, along)
    index = np.arange(count * count, dtype=np.uint32).reshape(count, count)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.stack([a, c, d, a, d, b], axis=-1).reshape(-1, 3)
    return np.stack([x, 1 - down], axis=-1).reshape(-1, 2), triangles


def heights(height: FloatArray, resolution: int, margin: int, wrap: Wrap) -> FloatArray:
    """(n, n) heights at the points of `lattice` from a height map (H, W), continued by `wrap`."""
    sampled = _sampled(height, resolution, wrap)
    return np.pad(sampled, margin, mode=_PAD[wrap])


def _sampled(height: FloatArray, resolution: int, wrap: Wrap) -> FloatArray:
    """(H, W) to (resolution, resolution): area average downwards, bicubic upwards."""
    rows, columns = height.shape
    if (rows, columns) == (resolution, resolution):
        return height
    method = Image.Resampling.BOX if resolution < rows else Image.Resampling.BICUBIC
    ring = min(4, rows, columns)
    image = Image.fromarray(np.pad(height, ring, mode=_PAD[wrap]))
    box = (ring, ring, ring + columns, ring + rows)
    return np.asarray(image.resize((resolution, resolution), method, box=box), dtype=np.float32)
