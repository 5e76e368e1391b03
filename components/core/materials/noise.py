"""Tileable noise and patterns on the unit torus, the alphabet of the procedural library.

Every function returns a (size, size) float32 field which wraps seamlessly at its borders.
Coordinates u (right) and v (down) run over [0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from components.core.materials.material import FloatArray


def coordinates(size: int) -> tuple[FloatArray, FloatArray]:
    """Pixel-centre coordinates (u, v), each (size, size) in [0, 1)."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    u, v = np.meshgrid(axis, axis)
    return u, v


def normalise(values: FloatArray, low: float = 1.0, high: float = 99.0) -> FloatArray:
    """Stretch the given percentiles to 0 and 1 and clip."""
    a, b = np.percentile(values, [low, high])
    return np.clip((values - a) / max(float(b - a), 1e-6), 0.0, 1.0).astype(np.float32)


def smoothstep(low: float, high: float, values: FloatArray) -> FloatArray:
    """Hermite step from 0 at `low` to 1 at `high` (low > high gives a falling step)."""
    t = np.clip((values - low) / (high - low if high != low else 1e-6), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def spectral(
    rng: np.random.Generator,
    size: int,
    beta: float = 2.0,
    low: float = 1.0,
    high: float | None = None,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> FloatArray:
    """Gaussian noise with amplitude f^(-beta/2) between `low` and `high` cycles a tile, in [0, 1].

    stretch: (u, v) factors on the frequency; (6, 1) gives streaks along u (fibres, wood grain).
    """
    fx = np.fft.rfftfreq(size, 1 / size) * stretch[0]
    fy = np.fft.fftfreq(size, 1 / size) * stretch[1]
    # The noise is drawn at a fixed resolution of frequencies per call size; f is (size, size/2+1).
    f = np.sqrt(fx[None, :] ** 2 + fy[:, None] ** 2)
    top = high if high is not None else size
    amplitude = np.where(f > 0, np.maximum(f, 1e-6) ** (-beta / 2), 0.0)
    amplitude *= 1.0 / (1.0 + (low / np.maximum(f, 1e-6)) ** 4) / (1.0 + (f / top) ** 4)
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * amplitude
    return normalise(np.fft.irfft2(spectrum, s=(size, size)).astype(np.float32))


def ridged(rng: np.random.Generator, size: int, beta: float = 2.0, low: float = 2.0) -> FloatArray:
    """Cracks, veins and ridges: 1 on the crests where spectral noise crosses its middle."""
    return 1.0 - np.abs(2.0 * spectral(rng, size, beta, low) - 1.0)


@dataclass(frozen=True)
class Cells:
    """Worley cells: distances (size, size) to the nearest (f1) and second (f2) seed, in tile units,
    the nearest seed's id, and the offset (du, dv) from it."""

    f1: FloatArray
    f2: FloatArray
    ids: NDArray[np.int64]
    du: FloatArray
    dv: FloatArray
    count: int

    def per_cell(self, rng: np.random.Generator) -> FloatArray:
        """One uniform number a cell, painted over the cell."""
        return rng.random(self.count, dtype=np.float32)[self.ids]

    @property
    def edge(self) -> FloatArray:
        """f2 - f1: 0 on the border between two cells, growing inwards."""
        return self.f2 - self.f1


def cells(
    rng: np.random.Generator,
    size: int,
    count: int,
    *,
    jitter: float = 1.0,
    aspect: float = 1.0,
    warp: FloatArray | None = None,
) -> Cells:
    """Worley noise of about `count` cells on the torus.

    jitter 1: independent seeds; smaller: closer to a square lattice. aspect > 1: cells are that
    much longer along u. warp: (size, size, 2) displacement of the look-up, in tile units.
    """
    if jitter >= 1.0:
        seeds = rng.random((count, 2))
    else:
        columns = max(1, round((count / aspect) ** 0.5))
        rows = max(1, round(count / columns))
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)
        offset = 0.5 + jitter * (rng.random(grid.shape) - 0.5)
        seeds = (grid + offset) / (columns, rows)
    scale = np.array([1.0 / aspect, 1.0])
    u, v = coordinates(size)
    points = np.stack([u, v], -1)
    if warp is not None:
        points = points + warp
    points = points % 1.0
    tree = cKDTree((seeds % 1.0) * scale, boxsize=scale)
    distances, ids = tree.query(np.minimum(points * scale, scale * (1 - 1e-7)).reshape(-1, 2), k=2)
    nearest = ids[:, 0].reshape(size, size)
    offset_uv = (points - seeds[nearest] + 0.5) % 1.0 - 0.5
    return Cells(
        f1=distances[:, 0].reshape(size, size).astype(np.float32),
        f2=distances[:, 1].reshape(size, size).astype(np.float32),
        ids=nearest,
        du=offset_uv[..., 0].astype(np.float32),
        dv=offset_uv[..., 1].astype(np.float32),
        count=len(seeds),
    )


def warped(values: FloatArray, du: FloatArray, dv: FloatArray) -> FloatArray:
    """values looked up at (u + du, v + dv), displacements in tile units, bilinear, wrapped."""
    size = values.shape[0]
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    where = [(rows + dv * size) % size, (columns + du * size) % size]
    return map_coordinates(values, where, order=1, mode="grid-wrap").astype(np.float32)


def blurred(values: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur with standard deviation `sigma` in tile units, wrapped."""
    return gaussian_filter(values, sigma * values.shape[0], mode="wrap").astype(np.float32)


def mix(a: FloatArray | float, b: FloatArray | float, t: FloatArray | float) -> FloatArray:
    """a where t is 0, b where t is 1."""
    return np.asarray(a + (np.asarray(b) - a) * t, dtype=np.float32)


def ramp(values: FloatArray, colours: list[tuple[float, float, float]]) -> FloatArray:
    """A (size, size) field in [0, 1] to (size, size, 3) by piecewise linear colours."""
    stops = np.linspace(0.0, 1.0, len(colours))
    table = np.asarray(colours, dtype=np.float32)
    channels = [np.interp(values, stops, table[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def scatter(
    rng: np.random.Generator, count: int, minimum_distance: float, tries: int = 8
) -> NDArray[np.float64]:
    """Up to `count` points (n, 2) on the unit torus, no two closer than the given distance."""
    kept: list[NDArray[np.float64]] = []
    for candidate in rng.random((count * tries, 2)):
        if len(kept) == count:
            break
        if kept:
            d = np.abs(np.asarray(kept) - candidate)
            if (np.minimum(d, 1 - d) ** 2).sum(axis=1).min() < minimum_distance**2:
                continue
        kept.append(candidate)
    return np.asarray(kept).reshape(-1, 2)
