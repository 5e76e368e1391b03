"""Tile layouts and small colour helpers that several categories share.

A layout answers, for each pixel, which tile it lies on, where on that tile, and how far it is
from the joint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import coordinates, spectral

Colour = tuple[float, float, float]


def branch(rng: np.random.Generator, count: int) -> list[np.random.Generator]:
    """Independent generators, so that a layout does not depend on how much noise is drawn."""
    return [np.random.default_rng(int(s)) for s in rng.integers(2**63, size=count)]


def displacement(
    rng: np.random.Generator, size: int, beta: float, low: float, high: float, amount: float
) -> FloatArray:
    """A smooth (size, size, 2) displacement for warped cells, up to amount / 2 in tile units."""
    fields = [spectral(rng, size, beta, low, high) - 0.5 for _ in range(2)]
    return (np.stack(fields, axis=-1) * amount).astype(np.float32)


def jittered(rng: np.random.Generator, colour: Colour, amount: float = 0.04) -> Colour:
    """The colour, a little lighter or darker and a little shifted in hue."""
    shift = rng.normal(0.0, amount) + rng.normal(0.0, amount * 0.22, 3)
    r, g, b = np.clip(np.asarray(colour) * (1.0 + 1.5 * shift), 0.03, 0.93)
    return float(r), float(g), float(b)


def shaded(colour: Colour, factor: float) -> Colour:
    """The colour times a factor, kept in [0, 1]."""
    r, g, b = (min(1.0, max(0.0, c * factor)) for c in colour)
    return r, g, b


def solid(size: int, colour: Colour) -> FloatArray:
    """(size, size, 3) of one colour."""
    return np.broadcast_to(np.asarray(colour, np.float32), (size, size, 3)).copy()


def over(base: FloatArray, colour: FloatArray | Colour, mask: FloatArray) -> FloatArray:
    """(H, W, 3) base with a colour laid over it where the (H, W) mask is 1."""
    top = np.asarray(colour, np.float32)
    return (base + (top - base) * mask[..., None]).astype(np.float32)


def finished(
    category: str, caption: str, albedo: FloatArray, height: FloatArray, roughness: FloatArray
) -> Material:
    """A dielectric material from maps that may stick out of [0, 1] slightly."""
    return Material(
        albedo=np.clip(albedo, 0.02, 0.95).astype(np.float32),
        height=np.clip(height, 0.0, 1.0).astype(np.float32),
        roughness=np.clip(roughness, 0.04, 1.0).astype(np.float32),
        metallic=np.zeros(height.shape, np.float32),
        caption=caption,
        category=category,
    )


@dataclass(frozen=True)
class Tiles:
    """Where each pixel lies in a tiling: the tile's id, x and y in [-1, 1] on the tile, and the
    distance to the nearest joint in units of the whole texture. All (size, size)."""

    ids: NDArray[np.int64]
    x: FloatArray
    y: FloatArray
    edge: FloatArray
    count: int

    def per_tile(self, rng: np.random.Generator) -> FloatArray:
        """One uniform number a tile, painted over the tile."""
        return rng.random(self.count, dtype=np.float32)[self.ids]


def _rectangles(
    ids: NDArray[np.int64], x: FloatArray, y: FloatArray, w: FloatArray | float, h: float, n: int
) -> Tiles:
    edge = np.minimum((1 - np.abs(x)) * w / 2, (1 - np.abs(y)) * h / 2)
    f = np.float32
    return Tiles(ids.astype(np.int64), x.astype(f), y.astype(f), edge.astype(f), n)


def courses(
    size: int,
    rows: int,
    columns: int,
    *,
    shift: float = 0.5,
    header: float = 0.0,
    wobble: tuple[FloatArray, FloatArray] | None = None,
) -> Tiles:
    """Rows of rectangles; every other row is moved by `shift` tiles (`rows` even unless shift 0).

    header > 0 splits each tile into a short piece of that share and a long one (Flemish bond).
    wobble: displacement (du, dv) of the look-up, which makes the joints uneven.
    """
    u, v = _moved(size, wobble)
    row = np.floor(v * rows).astype(np.int64)
    t = u * columns + shift * (row % 2)
    column = np.floor(t)
    p = t - column
    base = (row % rows) * columns + column.astype(np.int64) % columns
    y = 2 * (v * rows - row) - 1
    if header <= 0:
        return _rectangles(base, 2 * p - 1, y, 1 / columns, 1 / rows, rows * columns)
    short = p < header
    x = np.where(short, 2 * p / header - 1, 2 * (p - header) / (1 - header) - 1)
    width = (np.where(short, header, 1 - header) / columns).astype(np.float32)
    return _rectangles(2 * base + short, x, y, width, 1 / rows, 2 * rows * columns)


def herringbone(
    size: int, units: int, wobble: tuple[FloatArray, FloatArray] | None = None
) -> Tiles:
    """2:1 bricks in 90° herringbone on a units × units lattice (`units` a multiple of 4)."""
    u, v = _moved(size, wobble)
    column, row = np.floor(u * units), np.floor(v * units)
    p, q = u * units - column, v * units - row
    k = (column - row).astype(np.int64) % 4
    flat = k < 2  # k 0, 1: left and right half of a flat brick; 3, 2: the two halves of an upright
    first_column = np.where(k == 1, column - 1, column).astype(np.int64) % units
    first_row = np.where(k == 2, row - 1, row).astype(np.int64) % units
    along = np.where(flat, p + (k == 1), q + (k == 2)) - 1
    across = 2 * np.where(flat, q, p) - 1
    ids = first_row * units + first_column
    return _rectangles(ids, along, across, 2 / units, 1 / units, units * units)


def basket(size: int, blocks: int, wobble: tuple[FloatArray, FloatArray] | None = None) -> Tiles:
    """Pairs of 2:1 bricks, alternately flat and upright, in blocks × blocks squares (even)."""
    u, v = _moved(size, wobble)
    column, row = np.floor(u * blocks), np.floor(v * blocks)
    p, q = u * blocks - column, v * blocks - row
    flat = (column + row).astype(np.int64) % 2 == 0
    along, across = np.where(flat, p, q), np.where(flat, q, p)
    second = across >= 0.5
    block = (row % blocks * blocks + column % blocks).astype(np.int64)
    x, y = 2 * along - 1, 4 * (across - 0.5 * second) - 1
    return _rectangles(2 * block + second, x, y, 1 / blocks, 0.5 / blocks, 2 * blocks**2)


def hexagons(
    size: int, columns: int, rows: int, wobble: tuple[FloatArray, FloatArray] | None = None
) -> Tiles:
    """Hexagons with a point upwards; `rows` even, regular when rows is 1.15 × columns."""
    u, v = _moved(size, wobble)
    half_height = 3**0.5 / 2
    best: list[FloatArray] = []
    for offset in (0, 1):  # even and odd rows are two rectangular lattices
        row = 2 * np.round((v * rows - offset) / 2) + offset
        column = np.round(u * columns - 0.5 * offset)
        dx, dy = u * columns - 0.5 * offset - column, (v * rows - row) * half_height
        best.append(np.stack([dx, dy, row % rows * columns + column % columns]))
    nearer = (best[0][:2] ** 2).sum(0) < (best[1][:2] ** 2).sum(0)
    dx, dy, ids = np.where(nearer, best[0], best[1])
    d = np.maximum(np.abs(dx), np.abs(dx) / 2 + np.abs(dy) * half_height)
    edge = ((0.5 - d) / columns).astype(np.float32)
    f = np.float32
    return Tiles(
        np.rint(ids).astype(np.int64), (2 * dx).astype(f), (2 * dy).astype(f), edge, rows * columns
    )


def _moved(
    size: int, wobble: tuple[FloatArray, FloatArray] | None
) -> tuple[FloatArray, FloatArray]:
    u, v = coordinates(size)
    return (u, v) if wobble is None else (u + wobble[0], v + wobble[1])


def mottled_soil(
    rng: np.random.Generator, size: int, colour: Colour
) -> tuple[FloatArray, FloatArray]:
    """Crumbly earth: its colour (size, size, 3) and its relief (size, size) in [0, 1]."""
    lumps, grit = spectral(rng, size, 1.5, 4, 24), spectral(rng, size, 0.5, 12, 48)
    relief = np.clip(0.65 * lumps + 0.35 * grit, 0, 1).astype(np.float32)
    return (solid(size, colour) * (0.62 + 0.66 * relief)[..., None]).astype(np.float32), relief
