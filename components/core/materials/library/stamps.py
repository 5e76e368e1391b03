"""Stamped motifs: many small oriented shapes drawn back to front with soft edges.

Petals, blades, leaves and stones are drawn this way; the soft edges keep thin shapes from
aliasing at 64 pixels a tile. A canvas holds colour, height and roughness in its channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.materials.library.shapes import Colour
from components.core.materials.material import FloatArray

Points = NDArray[np.float64]
Outline = Callable[[FloatArray], FloatArray]
Shade = Callable[[FloatArray, FloatArray, NDArray[np.int64]], FloatArray]


def stamp(
    canvas: FloatArray,
    centres: Points,
    angles: Points,
    lengths: Points,
    widths: Points,
    outline: Outline,
    shade: Shade,
    bends: Points | None = None,
) -> None:
    """Draw n shapes onto the (size, size, C) canvas in order, wrapped, with soft edges.

    centres (n, 2) as (u, v); lengths and widths are half extents in tile units. On a shape x runs
    along it and y across, both in [-1, 1]; it is filled where |y| < outline(x).
    shade(x, y, index) gives the (k, w, w, C) values, index (k, 1, 1) being the shapes' numbers.
    bends: how far the ends curve sideways, in half widths.
    """
    size = canvas.shape[0]
    n = len(centres)
    radius = int(np.ceil(max(lengths.max(), widths.max()) * size)) + 1
    radius = min(radius, (size - 1) // 2)
    offsets = np.arange(-radius, radius + 1)
    corner = np.floor(centres * size).astype(np.int64)
    f = np.float32
    for start in range(0, n, 48):
        index = np.arange(start, min(start + 48, n))[:, None, None]
        i = index[:, 0, 0]
        rest = (corner[i] + 0.5 - centres[i] * size) / size
        du = (offsets[None, None, :] / size + rest[:, 0, None, None]).astype(f)
        dv = (offsets[None, :, None] / size + rest[:, 1, None, None]).astype(f)
        cos, sin = np.cos(angles[index]).astype(f), np.sin(angles[index]).astype(f)
        length, width = lengths[index].astype(f), widths[index].astype(f)
        x = (du * cos + dv * sin) / length
        y = (dv * cos - du * sin) / width
        if bends is not None:
            y = y + bends[index].astype(f) * x * x
        inside = (outline(np.clip(x, -1, 1)) - np.abs(y)) * width * size
        alpha = np.clip(inside + 0.5, 0, 1) * np.clip((1 - np.abs(x)) * length * size + 0.5, 0, 1)
        values = shade(x, y, index)
        for k, number in enumerate(i):
            rows = (corner[number, 1] + offsets) % size
            columns = (corner[number, 0] + offsets) % size
            where = np.ix_(rows, columns)
            below = canvas[where]
            canvas[where] = below + (values[k] - below) * alpha[k][..., None]


def disc(x: FloatArray) -> FloatArray:
    """The outline of an ellipse."""
    return np.sqrt(np.clip(1 - x * x, 0, 1)).astype(np.float32)


def channels(
    colour: NDArray[Any], height: NDArray[Any], roughness: NDArray[Any] | float
) -> FloatArray:
    """Colour (..., 3) clipped to [0, 1], height (...) and roughness (...) as (..., 5) values."""
    rough = np.broadcast_to(np.asarray(roughness, np.float32), height.shape)
    colour = np.broadcast_to(np.clip(colour, 0.0, 0.94), (*height.shape, 3))
    return np.concatenate([colour, height[..., None], rough[..., None]], axis=-1).astype(np.float32)


def turf(
    canvas: FloatArray,
    rng: np.random.Generator,
    count: int,
    palette: list[Colour],
    *,
    length: float = 0.09,
    width: float = 0.014,
    lean: float = 0.9,
    base: float = 0.25,
    top: float = 0.8,
    roughness: float = 0.65,
) -> None:
    """Stamp `count` curved grass blades, later ones higher and lighter.

    lean: standard deviation of the blades' direction from upwards, in radians.
    """
    centres = rng.random((count, 2))
    angles = -np.pi / 2 + rng.normal(0.0, lean, count)
    lengths = length * rng.uniform(0.6, 1.2, count)
    widths = width * rng.uniform(0.7, 1.2, count)
    bends = rng.normal(0.0, 1.1, count)
    rank = np.linspace(0.0, 1.0, count)
    colours = np.asarray(palette)[rng.integers(len(palette), size=count)]
    colours = colours * (0.6 + 0.45 * rank + rng.normal(0, 0.07, count))[:, None]

    def shade(x: FloatArray, y: FloatArray, i: NDArray[np.int64]) -> FloatArray:
        light = 0.82 + 0.25 * (x * 0.5 + 0.5) - 0.12 * np.exp(-((y * 4) ** 2))
        level = base + (top - base) * rank[i] + 0.12 * x - 0.05 * y * y
        return channels(colours[i] * light[..., None], level, roughness)

    # A blade: broad at its root, pointed at its tip.
    stamp(canvas, centres, angles, lengths, widths, lambda x: (1 - x) ** 0.6 * 0.75, shade, bends)
