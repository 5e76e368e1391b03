"""Leaves: overlapping stamped leaves over dark litter, each with a midrib, veins and a curl.

Leaves are stamped bottom to top; a leaf's outline is a signed distance in its own coordinates.
"""

from __future__ import annotations

import numpy as np

from components.core.materials.library.motifs import (
    Colour,
    Stamp,
    finish,
    forks,
    pick,
    random_colours,
    stamp,
    steady,
)
from components.core.materials.library.weather import weather
from components.core.materials.library.wording import Kinds, Wording
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import ramp, scatter, smoothstep, spectral

COLOURS: dict[str, list[Colour]] = {
    "green": [(0.22, 0.40, 0.12), (0.30, 0.50, 0.16), (0.16, 0.32, 0.12)],
    "dark green": [(0.12, 0.26, 0.12), (0.16, 0.32, 0.15), (0.20, 0.36, 0.16)],
    "lime green": [(0.46, 0.62, 0.16), (0.55, 0.68, 0.22), (0.38, 0.56, 0.16)],
    "red": [(0.60, 0.12, 0.09), (0.70, 0.20, 0.10), (0.48, 0.09, 0.09)],
    "orange": [(0.80, 0.40, 0.10), (0.72, 0.30, 0.08), (0.86, 0.52, 0.16)],
    "yellow": [(0.86, 0.68, 0.16), (0.90, 0.76, 0.26), (0.78, 0.58, 0.12)],
    "brown": [(0.46, 0.30, 0.17), (0.54, 0.37, 0.22), (0.38, 0.24, 0.14)],
    "pale brown": [(0.66, 0.52, 0.36), (0.72, 0.59, 0.43), (0.56, 0.43, 0.29)],
    "mixed autumn": [
        (0.72, 0.18, 0.08),
        (0.85, 0.52, 0.12),
        (0.86, 0.70, 0.20),
        (0.45, 0.24, 0.12),
    ],
    "purple": [(0.36, 0.14, 0.24), (0.44, 0.18, 0.30), (0.28, 0.12, 0.20)],
}
FRESH = ("green", "dark green", "lime green", "purple")
FALLEN = ("red", "orange", "yellow", "brown", "mixed autumn")
KINDS: Kinds = {
    "maple": ("{} maple leaves on the ground", (*FALLEN, "mixed autumn")),
    "ivy": ("{} ivy leaves on a wall", ("green", "dark green", "lime green", "red")),
    "oak": ("fallen {} oak leaves", ("brown", "pale brown", "orange", "mixed autumn")),
    "fern": ("{} fern leaves", ("green", "dark green", "lime green", "brown")),
    "laurel": ("glossy {} hedge leaves", FRESH),
    "beech": ("{} forest leaves litter", (*FALLEN, "pale brown")),
    "willow": ("long thin {} leaves", ("green", "lime green", "yellow", "pale brown")),
}
# Half length in tile units and number of leaves: together they cover the tile about three times.
EXTENT = {"maple": (0.22, 40), "ivy": (0.17, 54), "oak": (0.22, 44), "fern": (0.36, 26)}
WIDTHS = {"oak": 0.52, "laurel": 0.44, "beech": 0.60, "willow": 0.22, "fern": 0.5}
EXTENT |= {"laurel": (0.18, 54), "beech": (0.15, 64), "willow": (0.24, 64)}
# What shows between the leaves: shade below foliage, dark litter, or bare soil.
FLOORS: dict[str, list[Colour]] = {
    "fresh": [(0.06, 0.08, 0.04), (0.13, 0.17, 0.08)],
    "fallen": [(0.10, 0.07, 0.05), (0.25, 0.18, 0.12)],
    "scattered": [(0.26, 0.22, 0.18), (0.40, 0.35, 0.29), (0.52, 0.46, 0.38)],
}
LOBES = {
    "maple": ((0.0, 0.95), (0.9, 0.86), (-0.9, 0.86), (1.85, 0.62), (-1.85, 0.62)),
    "ivy": ((0.0, 0.95), (1.05, 0.78), (-1.05, 0.78), (2.1, 0.55), (-2.1, 0.55)),
}


class Style(Wording):
    """The leaf's kind and colour."""

    kinds = KINDS


def describe(rng: np.random.Generator) -> Style:
    """Draw a style."""
    kind = pick(rng, tuple(KINDS))
    return Style(kind, pick(rng, KINDS[kind][1]), pick(rng, ("", "", "wet", "frosty", "scattered")))


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """Stamp the leaves bottom to top over litter."""
    layout, grain, after = forks(rng, 3)
    extent, count = EXTENT[style.kind]
    extent *= layout.uniform(0.9, 1.12)
    if style.state == "scattered":
        count = round(0.3 * count)
    fresh = style.kind in ("ivy", "fern", "laurel", "willow")
    mottle, speck = steady(grain, size, 2.0, 3.0), spectral(grain, size, 1.0, 8.0)
    under = FLOORS["scattered" if style.state == "scattered" else "fresh" if fresh else "fallen"]
    canvas = np.dstack(
        [ramp(0.5 * speck + 0.5 * mottle, under), 0.12 * mottle, np.full((size, size), 0.9)]
    )
    points = scatter(layout, count, 0.55 / count**0.5)
    points = np.concatenate([points, layout.random((count - len(points), 2))])
    colours = random_colours(layout, count, COLOURS[style.colour], 0.18)
    # Ivy and willow hang; fallen leaves lie any way.
    angles = layout.uniform(0, 2 * np.pi, count)
    if style.kind in ("ivy", "willow"):
        angles = np.pi / 2 + layout.normal(0.0, 0.5, count)
    gloss = {"laurel": 0.28, "ivy": 0.38, "fern": 0.55, "willow": 0.5}.get(style.kind, 0.68)
    for i in range(count):
        length = min(extent * layout.uniform(0.78, 1.12), 0.42)
        place = stamp(size, points[i], angles[i], length, WIDTHS.get(style.kind, 1.0))
        inside, vein = _outline(style.kind, place)
        cover = place.coverage(inside)
        spot = mottle[place.window]
        bend = layout.uniform(-0.16, 0.16, 2)
        cup = layout.uniform(-0.16, 0.22)
        radius = place.x**2 + place.y**2
        height = 0.12 + 0.55 * i / count + bend[0] * place.x + bend[1] * place.y
        height = height + cup * radius - 0.08 * vein + 0.08 * (spot - 0.5)
        height = np.minimum(height + 0.05 * smoothstep(0.0, 0.12, inside), 0.98)
        pale = 0.35 if fresh else 0.2
        tone = colours[i] * (0.84 + 0.32 * spot + 0.10 * speck[place.window])[..., None]
        tone = tone * (0.78 + 0.22 * smoothstep(0.0, 0.10, inside))[..., None]
        tone = tone + (vein * pale)[..., None] * (np.array([0.75, 0.74, 0.45]) - tone)
        # Deeper leaves are older and dirtier.
        tone = tone * (0.62 + 0.38 * i / count)
        roughness = gloss + 0.12 * (spot - 0.5) + 0.1 * vein
        layer = np.dstack([tone, height, roughness])
        old = canvas[place.window]
        canvas[place.window] = old + cover[..., None] * (layer - old)
    leaves = finish("leaves", style.caption, canvas[..., :3], canvas[..., 3], canvas[..., 4])
    return leaves if style.state == "scattered" else weather(leaves, style.state, after)


def _outline(kind: str, place: Stamp) -> tuple[FloatArray, FloatArray]:
    """(signed distance to the outline, vein strength) of a leaf whose axis is x."""
    if kind in LOBES:
        return _lobed(kind, place)
    x, y = place.x, np.abs(place.y)
    t = np.clip((x + 1.0) / 2.0, 0.0, 1.0)
    line = max(0.035, place.pixel)
    midrib = smoothstep(line * 1.6, line * 0.4, y)
    if kind == "fern":
        wide = 0.46 * (1.0 - t) ** 0.8 * smoothstep(0.0, 0.12, t)
        wave = np.cos(2 * np.pi * (9.0 * t - 3.2 * y))
        leaflet = 0.05 * (wave + 0.45 - 0.5 * y / np.maximum(wide, 0.05))
        inside = np.maximum(np.minimum(wide - y, leaflet), 0.025 - y)
        inside = np.where(np.abs(x) > 1.0, -1.0, inside)
        return inside, np.maximum(midrib, 0.3 * smoothstep(0.6, 1.0, wave))
    widths = {"oak": 0.42, "laurel": 0.40, "beech": 0.55, "willow": 0.17}
    skew = {"oak": 1.35, "laurel": 0.95, "beech": 0.85, "willow": 0.8}[kind]
    wide = widths[kind] * np.maximum(np.sin(np.pi * t**skew), 0.0) ** (
        0.8 if kind != "willow" else 0.7
    )
    if kind == "oak":
        wide = wide * (0.80 + 0.36 * np.cos(2 * np.pi * (4.0 * t + 0.1)))
    inside = np.where(np.abs(x) > 1.0, -1.0, wide - y)
    side = np.abs(((5.0 * t - 1.6 * y) % 1.0) - 0.5)
    side = smoothstep(0.12, 0.02, side) * (0.0 if kind == "willow" else 0.5)
    return inside.astype(np.float32), np.maximum(midrib, side)


def _lobed(kind: str, place: Stamp) -> tuple[FloatArray, FloatArray]:
    """Maple and ivy: the union of pointed lobes around the leaf's base."""
    x, y = place.x + 0.25, place.y
    inside = np.full(x.shape, -1.0, dtype=np.float32)
    vein = np.zeros(x.shape, dtype=np.float32)
    line = max(0.03, place.pixel)
    for angle, length in LOBES[kind]:
        along = (np.cos(angle) * x + np.sin(angle) * y) / length
        across = np.abs(-np.sin(angle) * x + np.cos(angle) * y) / length
        t = np.clip((along + 0.12) / 1.12, 0.0, 1.0)
        wide = (0.50 if kind == "ivy" else 0.40) * np.maximum(np.sin(np.pi * t**0.7), 0.0) ** 1.2
        if kind == "maple":
            wide = wide * (0.80 + 0.30 * np.abs(((3.0 * t) % 1.0) - 0.5) * 2.0)
        lobe = np.where((along < -0.12) | (along > 1.0), -1.0, (wide - across) * length)
        inside = np.maximum(inside, lobe)
        rib = smoothstep(line * 1.6, line * 0.4, across) * (along > 0) * (along < 0.9)
        vein = np.maximum(vein, rib)
    return inside.astype(np.float32), vein.astype(np.float32)
