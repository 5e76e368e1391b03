"""Wood that was not sawn into boards: bark, burl, log ends and bamboo, and the woods' colours."""

from __future__ import annotations

import numpy as np

from components.core.materials.library.motifs import (
    Colour,
    bends,
    blend,
    domes,
    steady,
    streaks,
)
from components.core.materials.material import FloatArray
from components.core.materials.noise import cells, coordinates, ramp, smoothstep, spectral, warped

Maps = tuple[FloatArray, FloatArray, FloatArray]
"""albedo, height, roughness"""

WOODS: dict[str, list[Colour]] = {
    "oak": [(0.44, 0.30, 0.17), (0.62, 0.45, 0.28), (0.70, 0.54, 0.36)],
    "pale pine": [(0.66, 0.48, 0.28), (0.82, 0.67, 0.45), (0.87, 0.75, 0.55)],
    "dark walnut": [(0.17, 0.11, 0.07), (0.30, 0.20, 0.13), (0.40, 0.28, 0.19)],
    "red mahogany": [(0.30, 0.12, 0.08), (0.46, 0.21, 0.14), (0.56, 0.29, 0.19)],
    "weathered grey": [(0.36, 0.34, 0.32), (0.52, 0.50, 0.47), (0.64, 0.62, 0.58)],
    "honey": [(0.58, 0.34, 0.13), (0.74, 0.49, 0.23), (0.82, 0.60, 0.33)],
    "black": [(0.06, 0.055, 0.05), (0.13, 0.12, 0.11), (0.25, 0.23, 0.21)],
}
BARKS: dict[str, list[Colour]] = {
    "brown": [(0.16, 0.11, 0.07), (0.34, 0.25, 0.17), (0.48, 0.37, 0.27)],
    "grey": [(0.20, 0.19, 0.17), (0.40, 0.38, 0.35), (0.56, 0.54, 0.50)],
    "reddish": [(0.22, 0.10, 0.06), (0.46, 0.24, 0.15), (0.60, 0.35, 0.23)],
}
BAMBOO: dict[str, list[Colour]] = {
    "green": [(0.26, 0.40, 0.12), (0.40, 0.54, 0.20), (0.54, 0.64, 0.30)],
    "yellow": [(0.66, 0.50, 0.22), (0.80, 0.66, 0.36), (0.86, 0.76, 0.50)],
    "brown": [(0.36, 0.22, 0.11), (0.50, 0.33, 0.18), (0.60, 0.43, 0.26)],
}


def bark(colour: str, layout: np.random.Generator, grain: np.random.Generator, size: int) -> Maps:
    """Upright plates parted by deep furrows."""
    warp = bends(layout, size, 4.2, 2.5, 0.07)
    plates = cells(layout, size, int(layout.integers(26, 44)), aspect=0.33, warp=warp)
    fibre, rough = streaks(grain, size, 5.0).T, spectral(grain, size, 1.6, 4.0)
    body = domes(plates.edge, 0.11)
    height = (
        0.05
        + body * (0.62 + 0.2 * plates.per_cell(layout))
        + 0.16 * (fibre - 0.5)
        + 0.10 * (rough - 0.5)
    )
    shade = np.clip(
        0.75 * height + 0.35 * (fibre - 0.5) + 0.2 * (plates.per_cell(layout) - 0.5), 0, 1
    )
    return ramp(shade, BARKS[colour]), height, 0.88 + 0.08 * (rough - 0.5)


def burl(colour: str, layout: np.random.Generator, grain: np.random.Generator, size: int) -> Maps:
    """Swirling rings: many contours of twice-warped noise."""
    du, dv = (steady(layout, size, 4.8, 1.5) - 0.5 for _ in range(2))
    field = warped(steady(layout, size, 4.8, 1.2), 0.3 * du, 0.3 * dv)
    saw = field * layout.uniform(7.0, 10.0) % 1.0
    ring = smoothstep(0.0, 0.7, saw) * smoothstep(1.0, 0.85, saw)
    fine, cloud = spectral(grain, size, 1.0, 6.0), steady(layout, size, 4.2, 2.0)
    shade = np.clip(0.18 + 0.45 * ring + 0.25 * cloud + 0.2 * (fine - 0.5), 0, 1)
    return (
        ramp(shade, WOODS[colour]),
        0.5 + 0.03 * (ring - 0.5) + 0.02 * fine,
        0.24 + 0.1 * (fine - 0.5),
    )


def logs(colour: str, layout: np.random.Generator, grain: np.random.Generator, size: int) -> Maps:
    """Sawn ends of a stack: rings around every cell's centre, bark at the rim, dark gaps."""
    warp = bends(layout, size, 4.6, 2.0, 0.05)
    ends = cells(layout, size, int(layout.integers(12, 26)), jitter=0.6, warp=warp)
    share = ends.edge / np.maximum(ends.f1 + ends.f2, 1e-6)
    fine = spectral(grain, size, 1.2, 5.0)
    radius = ends.f1 + 0.012 * (fine - 0.5) + 0.02 * ends.per_cell(layout)
    ring = 0.5 + 0.5 * np.cos(2 * np.pi * radius * layout.uniform(34, 46))
    angle = np.arctan2(ends.dv, ends.du) + 6.3 * ends.per_cell(layout)
    crack = (
        smoothstep(0.10, 0.02, np.abs(np.sin(angle * 1.5)))
        * smoothstep(0.0, 0.03, ends.f1)
        * (share > 0.3)
    )
    shade = np.clip(
        0.35 + 0.35 * ring + 0.4 * (ends.per_cell(layout) - 0.4) + 0.3 * (fine - 0.5), 0, 1
    )
    bark, gap = smoothstep(0.24, 0.18, share), smoothstep(0.10, 0.05, share)
    albedo = blend(ramp(shade, WOODS[colour]), (0.16, 0.11, 0.08), 0.6 * crack)
    albedo = blend(blend(albedo, (0.27, 0.18, 0.11), bark), (0.06, 0.05, 0.04), gap)
    height = 0.45 + 0.45 * ends.per_cell(layout) + 0.05 * ring - 0.08 * crack - 0.06 * bark
    return albedo, height * (1 - gap) + 0.04, 0.8 + 0.1 * (fine - 0.5)


def bamboo(colour: str, layout: np.random.Generator, grain: np.random.Generator, size: int) -> Maps:
    """Upright round canes with a raised node here and there."""
    number = int(layout.integers(5, 8))
    u, v = coordinates(size)
    cane = np.floor(u * number).astype(int)
    x = (u * number % 1.0 - 0.5) * 2
    body = np.sqrt(np.maximum(1 - (x / 0.96) ** 2, 0))
    node: FloatArray = np.zeros((size, size), np.float32)
    for _ in range(2):
        node = np.maximum(node, np.abs((v - layout.random(number)[cane] + 0.5) % 1 - 0.5) < 0.02)
    node = np.asarray(node, np.float32)
    fibre = streaks(grain, size, 16.0).T
    tone = layout.random(number)[cane]
    shade = np.clip(0.35 + 0.3 * tone + 0.3 * (fibre - 0.5) + 0.15 * body, 0, 1)
    albedo = blend(ramp(shade, BAMBOO[colour]), np.asarray(BAMBOO[colour][0]) * 0.7, 0.6 * node)
    albedo = blend(albedo, (0.08, 0.07, 0.05), smoothstep(0.35, 0.1, body))
    height = (
        0.06 + 0.72 * body + 0.1 * node * body + 0.1 * (tone - 0.5) * body + 0.02 * (fibre - 0.5)
    )
    return albedo, height, 0.36 + 0.12 * (fibre - 0.5) + 0.2 * node
