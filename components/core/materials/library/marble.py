"""Marble: polished stone whose veins are the crests of domain-warped noise.

The vein mask drives colour, a slight groove and roughness together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.core.materials.library.motifs import (
    Colour,
    blend,
    finish,
    forks,
    pick,
    shaded,
    steady,
)
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import cells, coordinates, ramp, smoothstep, spectral, warped

# Ground ramp (dark, light) and vein colour.
COLOURS: dict[str, tuple[list[Colour], Colour, str]] = {
    "white": (
        [(0.74, 0.75, 0.77), (0.88, 0.88, 0.88), (0.92, 0.92, 0.91)],
        (0.42, 0.43, 0.46),
        "grey",
    ),
    "cream": (
        [(0.78, 0.70, 0.58), (0.87, 0.81, 0.71), (0.90, 0.86, 0.78)],
        (0.55, 0.38, 0.22),
        "brown",
    ),
    "black": (
        [(0.05, 0.05, 0.06), (0.09, 0.09, 0.10), (0.16, 0.16, 0.17)],
        (0.80, 0.62, 0.28),
        "gold",
    ),
    "dark grey": (
        [(0.20, 0.21, 0.23), (0.28, 0.29, 0.31), (0.36, 0.37, 0.39)],
        (0.86, 0.86, 0.86),
        "white",
    ),
    "green": (
        [(0.07, 0.20, 0.14), (0.12, 0.30, 0.21), (0.24, 0.42, 0.31)],
        (0.74, 0.83, 0.74),
        "white",
    ),
    "rose": (
        [(0.66, 0.42, 0.40), (0.78, 0.55, 0.51), (0.86, 0.68, 0.63)],
        (0.93, 0.85, 0.82),
        "white",
    ),
    "red": (
        [(0.36, 0.11, 0.09), (0.48, 0.16, 0.13), (0.58, 0.24, 0.19)],
        (0.88, 0.78, 0.72),
        "white",
    ),
    "blue": (
        [(0.20, 0.29, 0.42), (0.32, 0.43, 0.57), (0.47, 0.57, 0.69)],
        (0.88, 0.90, 0.92),
        "white",
    ),
    "brown": (
        [(0.24, 0.14, 0.09), (0.34, 0.21, 0.13), (0.44, 0.29, 0.19)],
        (0.80, 0.66, 0.48),
        "beige",
    ),
}
KINDS = {
    "veined": "{} marble with {} veins",
    "clouded": "soft clouded {} marble with {} streaks",
    "breccia": "broken {} breccia marble, {} seams",
    "banded": "banded {} onyx marble with {} lines",
    "tiles": "{} marble tiles with {} veins",
    "checkered": "checkered {} and {} marble floor",
}


LIGHT = ("white", "cream", "rose")
VEINS = {"": 1.0, "fine": 0.55, "bold": 1.9}


@dataclass(frozen=True)
class Style:
    """The pattern and the colour family."""

    kind: str
    colour: str
    veins: str = ""

    @property
    def caption(self) -> str:
        """What a person would call it."""
        if self.kind == "checkered":
            second = "black" if self.colour in LIGHT else "white"
        else:
            second = f"{self.veins} {COLOURS[self.colour][2]}".strip()
        return KINDS[self.kind].format(self.colour, second)


def describe(rng: np.random.Generator) -> Style:
    """Draw a style; plain veined slabs are the commonest."""
    kind = pick(rng, ("veined", *KINDS))
    veins = pick(rng, tuple(VEINS)) if kind not in ("clouded", "checkered") else ""
    return Style(kind, pick(rng, tuple(COLOURS)), veins)


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """Ground, veins and, for floors, joints."""
    layout, second, grain = forks(rng, 3)
    ground, vein_colour, _ = COLOURS[style.colour]
    cloud, vein = _pattern(style.kind, layout, size, VEINS[style.veins])
    slab = blend(ramp(cloud, ground), vein_colour, vein)
    albedo = shaded(slab, spectral(grain, size, 1.0, 8.0), 0.05)
    height = 0.52 - 0.03 * vein
    roughness = layout.uniform(0.08, 0.24) + 0.10 * vein + 0.05 * (cloud - 0.5)
    if style.kind in ("tiles", "checkered"):
        albedo, joint = _floor(style, albedo, second, size)
        height, roughness = height - 0.22 * joint, roughness + 0.5 * joint
    return finish("marble", style.caption, albedo, height, roughness)


def _floor(
    style: Style, albedo: FloatArray, rng: np.random.Generator, size: int
) -> tuple[FloatArray, FloatArray]:
    """(colour, joint mask) of a floor of square tiles cut from the slab."""
    number = pick(rng, (2, 3) if style.kind == "tiles" else (2, 4))
    u, v = coordinates(size)
    column, row = (u * number).astype(int), (v * number).astype(int)
    if style.kind == "checkered":
        light = style.colour in LIGHT
        other = COLOURS["black" if light else "white"][0]
        cloud, vein = _pattern("veined", rng, size, 1.0)
        seam = (0.35, 0.34, 0.33) if light else (0.5, 0.5, 0.5)
        albedo = blend(albedo, blend(ramp(cloud, other), seam, 0.6 * vein), (row + column) % 2)
    else:
        albedo = shaded(albedo, rng.random((number, number))[row, column], 0.14)
    x, y = u * number % 1, v * number % 1
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) / number
    joint = smoothstep(0.012, 0.004, edge)
    return blend(albedo, (0.45, 0.43, 0.40), 0.75 * joint), joint


def _pattern(
    kind: str, rng: np.random.Generator, size: int, bold: float
) -> tuple[FloatArray, FloatArray]:
    """(cloud, vein) fields in [0, 1] of one slab; veins `bold` times as wide as usual."""
    du, dv = (steady(rng, size, 4.6, 2.0) - 0.5 for _ in range(2))
    strength = rng.uniform(0.15, 0.32)
    cloud = warped(steady(rng, size, 4.6, 1.5), strength * du, strength * dv)
    # Veins run one way, like the layers they were: contours of a plane wave bent by noise.
    way = pick(rng, ((1, 1), (1, -1), (2, 1), (1, 2), (0, 2), (2, -1)))
    coarse = _contour(way, 1.2 * warped(steady(rng, size, 4.2, 1.2), 0.1 * du, 0.1 * dv))
    cross = (way[1], -way[0]) if rng.random() < 0.6 else way
    fine = _contour(cross, 1.7 * steady(rng, size, 4.4, 1.5))
    weight, swell = smoothstep(0.25, 0.75, cloud), steady(rng, size, 4.0, 2.0)
    vein = smoothstep(1.0, 0.2, coarse / (bold * (0.006 + 0.020 * swell**2))) * (
        0.45 + 0.55 * swell
    )
    vein = np.maximum(
        vein, 0.6 * smoothstep(0.010 * bold, 0.002, fine) * smoothstep(0.45, 0.75, swell[::-1])
    )
    vein = np.maximum(vein, 0.32 * smoothstep(0.09, 0.0, coarse) * (1 - weight))
    if kind == "clouded":
        cloud = np.clip(0.5 * cloud + 0.5 * smoothstep(0.12, 0.0, coarse), 0, 1)
        vein = 0.36 * smoothstep(0.07, 0.0, coarse) + 0.22 * smoothstep(0.05, 0.0, fine)
    elif kind == "breccia":
        warp = np.stack([du, dv], -1).astype(np.float32) * np.float32(0.16)
        large = cells(rng, size, int(rng.integers(10, 22)), warp=warp)
        small = cells(rng, size, 90, warp=warp)
        tone = large.per_cell(rng)
        crushed = smoothstep(0.03, 0.0, large.edge) * 0.8
        vein = np.maximum(
            smoothstep(0.022 * bold, 0.006, large.edge),
            crushed * smoothstep(0.012, 0.003, small.edge),
        )
        cloud = np.clip(0.25 * cloud + 0.75 * tone, 0, 1)
    elif kind == "banded":
        _, v = coordinates(size)
        phase = (
            float(rng.integers(2, 5)) * v + 0.9 * (steady(rng, size, 4.6, 1.0) - 0.5) + 0.12 * du
        )
        cloud = (0.5 + 0.35 * np.sin(2 * np.pi * phase) + 0.15 * np.sin(6 * np.pi * phase)).astype(
            np.float32
        )
        line = np.abs((2.0 * phase) % 1.0 - 0.5)
        vein = 0.8 * smoothstep(0.12 * bold, 0.03, line) * swell
    return cloud, np.clip(vein, 0, 1).astype(np.float32)


def _contour(way: tuple[int, int], bend: FloatArray) -> FloatArray:
    """Approximate distance (tile units) to the crests of the wave `way`·(u, v) + bend.

    Divided by the slope, so that veins are as thin where the wave is slow as where it is fast.
    """
    size = bend.shape[0]
    u, v = coordinates(size)
    gu = (np.roll(bend, -1, 1) - np.roll(bend, 1, 1)) * (size / 2) + way[0]
    gv = (np.roll(bend, -1, 0) - np.roll(bend, 1, 0)) * (size / 2) + way[1]
    phase = way[0] * u + way[1] * v + bend
    return (np.abs(phase % 1.0 - 0.5) / np.sqrt(gu**2 + gv**2 + 1.0)).astype(np.float32)
