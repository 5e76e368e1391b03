"""Motifs several categories share: steady noise, courses of blocks, stamps and cell colours.

The idea: a layout (cells, blocks, stamps) is drawn from a generator of its own and never through
fields of the tile's size, so one seed gives the same material at every resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import coordinates, spectral

Colour = tuple[float, float, float]
Item = TypeVar("Item")
STEADY_SIZE = 64


def pick(rng: np.random.Generator, options: Sequence[Item]) -> Item:
    """One of the options, uniformly."""
    return options[int(rng.integers(len(options)))]


def forks(rng: np.random.Generator, count: int) -> list[np.random.Generator]:
    """Independent generators, so that what one consumes does not move the others."""
    return [np.random.default_rng(int(seed)) for seed in rng.integers(2**62, size=count)]


def steady(
    rng: np.random.Generator,
    size: int,
    beta: float = 3.0,
    low: float = 1.0,
    high: float | None = None,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> FloatArray:
    """Spectral noise drawn at 64² and interpolated: the same field (size, size) at every size."""
    small = spectral(rng, STEADY_SIZE, beta, low, high, stretch)
    if size == STEADY_SIZE:
        return small
    axis = (np.arange(size) + 0.5) * STEADY_SIZE / size - 0.5
    rows, columns = np.meshgrid(axis, axis, indexing="ij")
    fine = map_coordinates(small, [rows, columns], order=3, mode="grid-wrap")
    return np.clip(fine, 0.0, 1.0).astype(np.float32)


def bends(
    rng: np.random.Generator, size: int, beta: float, low: float, amount: float
) -> FloatArray:
    """A smooth displacement (size, size, 2) within ± amount/2 tile units."""
    pair = [steady(rng, size, beta, low) - 0.5 for _ in range(2)]
    return (np.stack(pair, -1) * amount).astype(np.float32)


def streaks(rng: np.random.Generator, size: int, length: float = 12.0) -> FloatArray:
    """Fine fibres along u (size, size), `length` times longer than wide."""
    return spectral(rng, size, 1.2, 4.0, None, (length, 1.0))


def finish(
    category: str,
    caption: str,
    albedo: NDArray[Any],
    height: NDArray[Any],
    roughness: NDArray[Any] | float,
    metallic: NDArray[Any] | float = 0.0,
) -> Material:
    """The material of maps that may leave [0, 1] a little or be constant."""
    shape = height.shape

    def grey(values: NDArray[Any] | float) -> FloatArray:
        plane = np.broadcast_to(np.asarray(values, dtype=np.float32), shape)
        return np.clip(plane, 0.0, 1.0).astype(np.float32)

    colour = np.clip(albedo, 0.02, 0.97).astype(np.float32)
    return Material(colour, grey(height), grey(roughness), grey(metallic), caption, category)


def shaded(albedo: NDArray[Any], field: NDArray[Any], amount: float) -> FloatArray:
    """albedo (H, W, 3) times 1 ± amount/2 as field (H, W) runs over [0, 1]."""
    return np.asarray(albedo * (1.0 + amount * (field - 0.5))[..., None], dtype=np.float32)


def blend(a: NDArray[Any] | Colour, b: NDArray[Any] | Colour, t: NDArray[Any]) -> FloatArray:
    """Colours a to b, each (H, W, 3) or one colour, by a mask (H, W)."""
    first, second = np.asarray(a, dtype=np.float32), np.asarray(b, dtype=np.float32)
    return np.asarray(first + (second - first) * t[..., None], dtype=np.float32)


def random_colours(
    rng: np.random.Generator, count: int, colours: Sequence[Colour], spread: float = 0.12
) -> FloatArray:
    """(count, 3) colours between neighbours of a palette, with brightness jitter."""
    table = np.asarray(colours, dtype=np.float32)
    first = table[rng.integers(len(table), size=count)]
    second = table[rng.integers(len(table), size=count)]
    mixed = first + (second - first) * 0.35 * rng.random((count, 1))
    return np.asarray(mixed * (1.0 + spread * rng.uniform(-1, 1, (count, 1))), dtype=np.float32)


@dataclass(frozen=True)
class Blocks:
    """Rectangular blocks in courses: id, local position (x, y) in [0, 1] and the distance to the
    nearest border in tile units, each (size, size)."""

    ids: NDArray[np.int64]
    x: FloatArray
    y: FloatArray
    edge: FloatArray
    count: int

    def per_block(self, rng: np.random.Generator) -> FloatArray:
        """One uniform number a block, painted over the block."""
        return rng.random(self.count, dtype=np.float32)[self.ids]


def courses(
    rng: np.random.Generator,
    size: int,
    rows: int,
    columns: int,
    *,
    irregular: float = 0.3,
    stagger: float = 1.0,
    warp: tuple[FloatArray, FloatArray] | None = None,
) -> Blocks:
    """`rows` courses along u of `columns` blocks each, widths uneven by `irregular`, wrapped."""
    u, v = coordinates(size)
    if warp is not None:
        u, v = u + warp[0], v + warp[1]
    v = v % 1.0
    tops = _breaks(rng, rows, irregular * 0.6)
    row = np.clip(np.searchsorted(tops, v, side="right") - 1, 0, rows - 1)
    y = (v - tops[row]) / (tops[row + 1] - tops[row])
    lefts = np.stack([_breaks(rng, columns, irregular) for _ in range(rows)])
    # Running bond: every course is moved by about half a block.
    start = (
        rng.random() + np.arange(rows) * (0.5 / columns) + rng.uniform(-0.1, 0.1, rows) / columns
    )
    start = start * stagger
    along = (u + start[row]) % 1.0
    column = np.zeros(row.shape, dtype=np.int64)
    for k in range(1, columns):
        column += along >= lefts[row, k]
    left, right = lefts[row, column], lefts[row, column + 1]
    x = (along - left) / (right - left)
    tall = tops[row + 1] - tops[row]
    edge = np.minimum(np.minimum(x, 1 - x) * (right - left), np.minimum(y, 1 - y) * tall)
    return Blocks(
        ids=row * columns + column,
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        edge=edge.astype(np.float32),
        count=rows * columns,
    )


def _breaks(rng: np.random.Generator, count: int, irregular: float) -> NDArray[np.float64]:
    """count + 1 increasing positions from 0 to 1."""
    widths = 1.0 + irregular * rng.uniform(-1.0, 1.0, count)
    return np.concatenate([[0.0], np.cumsum(widths) / widths.sum()])


@dataclass(frozen=True)
class Stamp:
    """A window of the tile (index it with `window`) and the local coordinates in it.

    x runs along the stamp's axis and y across it, in [-1, 1] over its extent; `pixel` is a
    pixel's side in these units, for anti-aliased outlines.
    """

    window: Any
    x: FloatArray
    y: FloatArray
    pixel: float

    def coverage(self, inside: NDArray[Any]) -> FloatArray:
        """Anti-aliased mask of inside > 0, a signed distance in local units."""
        return np.clip(inside / self.pixel + 0.5, 0.0, 1.0).astype(np.float32)


def stamp(
    size: int, centre: NDArray[np.float64], angle: float, scale: float, width: float = 1.0
) -> Stamp:
    """A stamp of half extent `scale` (tile units, < 0.45) at `centre` (u, v), wrapped.

    width: half extent across the axis over the one along it; the window is cut to that.
    """
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    columns = _pixels(size, centre[0], scale * min(1.0, abs(cosine) + width * abs(sine)))
    rows = _pixels(size, centre[1], scale * min(1.0, abs(sine) + width * abs(cosine)))
    du = ((columns + 0.5) / size - centre[0]) / scale
    dv = ((rows + 0.5) / size - centre[1]) / scale
    x = cosine * du[None, :] + sine * dv[:, None]
    y = -sine * du[None, :] + cosine * dv[:, None]
    window = np.ix_(rows % size, columns % size)
    return Stamp(window, x.astype(np.float32), y.astype(np.float32), 1.0 / (size * scale))


def _pixels(size: int, centre: float, reach: float) -> NDArray[np.int64]:
    """Unwrapped pixel numbers within `reach` and one pixel of `centre`, at most a tile's."""
    count = min(int(np.ceil(2 * (reach * size + 1))) + 1, size)
    return int(np.floor(centre * size - reach * size - 1)) + np.arange(count)


def domes(edge: FloatArray, width: float) -> FloatArray:
    """A rounded profile: 0 at the border, quarter circle up to 1 at `width` from it."""
    t = np.clip(edge / width, 0.0, 1.0)
    return np.sqrt(np.maximum(1.0 - (1.0 - t) ** 2, 0.0)).astype(np.float32)
