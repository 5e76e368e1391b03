"""Rock: natural faces; strata are steps of a warped height, crags are tilted Worley facets."""

from __future__ import annotations

import numpy as np

from components.core.materials.library.motifs import (
    Colour,
    bends,
    blend,
    finish,
    forks,
    pick,
    shaded,
    steady,
)
from components.core.materials.library.weather import weather
from components.core.materials.library.wording import Kinds, Wording
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import (
    blurred,
    cells,
    coordinates,
    normalise,
    ramp,
    ridged,
    smoothstep,
    spectral,
)

COLOURS: dict[str, list[Colour]] = {
    "grey": [(0.26, 0.26, 0.26), (0.42, 0.42, 0.41), (0.56, 0.55, 0.53)],
    "red": [(0.36, 0.16, 0.11), (0.54, 0.27, 0.18), (0.68, 0.40, 0.28)],
    "brown": [(0.26, 0.18, 0.12), (0.42, 0.31, 0.22), (0.56, 0.44, 0.33)],
    "tan": [(0.50, 0.41, 0.29), (0.66, 0.56, 0.42), (0.78, 0.69, 0.55)],
    "black": [(0.09, 0.09, 0.10), (0.16, 0.16, 0.17), (0.26, 0.26, 0.27)],
    "white": [(0.62, 0.61, 0.58), (0.77, 0.76, 0.73), (0.87, 0.86, 0.84)],
    "blue grey": [(0.20, 0.25, 0.30), (0.33, 0.39, 0.45), (0.46, 0.53, 0.58)],
    "orange": [(0.52, 0.27, 0.11), (0.70, 0.41, 0.19), (0.80, 0.55, 0.31)],
}
ALL = tuple(COLOURS)
KINDS: Kinds = {
    "strata": ("layered {} rock cliff strata", ALL),
    "craggy": ("craggy {} rock face", ALL),
    "mossy": ("mossy {} rock", ("grey", "brown", "black", "blue grey", "tan")),
    "volcanic": ("porous {} volcanic lava rock", ("black", "grey", "red", "brown")),
    "cracked": ("cracked {} rock surface", ALL),
    "smooth": ("smooth wavy {} canyon sandstone rock", ("red", "orange", "tan", "white")),
    "lichen": ("{} rock with yellow lichen", ("grey", "black", "blue grey", "brown")),
    "basalt": ("{} basalt rock columns", ("black", "grey", "blue grey", "brown")),
}


class Style(Wording):
    """The rock's structure and its colour family."""

    kinds = KINDS


def describe(rng: np.random.Generator) -> Style:
    """Draw a style."""
    kind = pick(rng, tuple(KINDS))
    states = ("", "", "wet", "dusty") if kind == "mossy" else ("", "", "wet", "snowy", "dusty")
    return Style(kind, pick(rng, KINDS[kind][1]), pick(rng, states))


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """Relief first; crevices are darker, crests paler."""
    layout, cover, grain, after = forks(rng, 4)
    height, tone = _relief(style.kind, layout, size, grain)
    rough = spectral(grain, size, 1.4, 6.0)
    height = normalise(height + 0.10 * (rough - 0.5), 0.3, 99.7)
    crevice = np.clip((blurred(height, 0.03) - height) * 3.0, 0.0, 1.0)
    shade = np.clip(0.62 * tone + 0.2 * height + 0.3 * (rough - 0.5) + 0.08, 0, 1)
    albedo = shaded(ramp(shade, COLOURS[style.colour]), 1 - crevice, 0.5)
    roughness = 0.84 + 0.10 * (rough - 0.5) - (0.12 if style.kind in ("basalt", "smooth") else 0.0)
    if style.kind == "mossy":
        wet = 0.55 * steady(cover, size, 2.2, 1.5) + 0.45 * (
            0.5 + 2.0 * (blurred(height, 0.05) - 0.5)
        )
        moss = smoothstep(0.42, 0.52, wet + 0.16 * (rough - 0.5))
        tuft = spectral(grain, size, 0.8, 10.0)
        green = ramp(
            np.clip(0.6 * tuft + 0.4 * wet, 0, 1),
            [(0.12, 0.19, 0.05), (0.26, 0.38, 0.09), (0.44, 0.52, 0.17)],
        )
        albedo = blend(albedo, green, moss)
        height = height * 0.9 + moss * (0.05 + 0.08 * (tuft - 0.3))
        roughness = roughness + 0.1 * moss
    if style.kind == "lichen":
        spots = cells(cover, size, 30, warp=bends(cover, size, 2.6, 4.0, 0.1))
        radius = 0.02 + 0.08 * spots.per_cell(cover) ** 1.5
        patch = smoothstep(0.0, 0.012, radius - spots.f1 + 0.03 * (rough - 0.5))
        yellow = np.asarray(
            [(0.72, 0.62, 0.20), (0.66, 0.68, 0.52), (0.76, 0.52, 0.16)], np.float32
        )
        albedo = blend(
            albedo,
            shaded(yellow[cover.integers(3, size=spots.count)][spots.ids], rough, 0.4),
            0.85 * patch,
        )
        height = height + 0.02 * patch
    return weather(finish("rock", style.caption, albedo, height, roughness), style.state, after)


def _relief(
    kind: str, rng: np.random.Generator, size: int, grain: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """(height, colour position), both in about [0, 1]."""
    _, v = coordinates(size)
    warp = bends(rng, size, 4.6, 1.0, 1.0)
    broad = steady(rng, size, 4.6, 1.0)
    if kind in ("strata", "smooth"):
        layers = int(rng.integers(6, 11)) if kind == "strata" else int(rng.integers(3, 6))
        sway = (0.16 if kind == "strata" else 0.5) * warp[..., 0]
        position = (v + sway) * layers
        if kind == "smooth":
            wave = 0.5 + 0.5 * np.sin(2 * np.pi * position)
            fine = 0.5 + 0.5 * np.sin(6 * np.pi * position + 3 * broad)
            relief = 0.6 * wave + 0.5 * broad + 0.06 * fine
            return relief.astype(np.float32), (0.55 * fine + 0.45 * wave).astype(np.float32)
        floor = np.floor(position)
        bed, part = floor.astype(int) % layers, position - floor
        sticks_out, colour = rng.random(layers), rng.random(layers)
        # Every bed overhangs at its top and weathers back below, broken into blocks.
        blocks = cells(rng, size, layers * 3, jitter=0.9, aspect=3.0, warp=_times(warp, 0.1))
        face = sticks_out[bed] * 0.6 + 0.35 * (1 - part) + 0.3 * blocks.per_cell(rng)
        face = face * smoothstep(0.0, 0.12, part) - 0.12 * smoothstep(0.012, 0.0, blocks.edge)
        lamina = 0.5 + 0.5 * np.sin(2 * np.pi * (3 * position + 2 * colour[bed]))
        tone = 1.15 * colour[bed] + 0.2 * (lamina - 0.5) + 0.3 * (broad - 0.5)
        return (face + 0.3 * broad + 0.06 * lamina).astype(np.float32), tone.astype(np.float32)
    if kind in ("craggy", "mossy", "lichen"):
        facets = np.zeros((size, size), np.float32)
        for count, weight in ((9, 1.0), (30, 0.55), (90, 0.3)):
            part = cells(rng, size, count, aspect=0.7, warp=_times(warp, 0.12))
            slopes = rng.uniform(-1, 1, (part.count, 2)).astype(np.float32)[part.ids]
            plane = (slopes[..., 0] * part.du + slopes[..., 1] * part.dv) * count**0.5
            facets += weight * (plane + 0.7 * part.per_cell(rng))
        return normalise(blurred(facets, 0.005) + 0.8 * broad), steady(rng, size, 2.2, 2.0)
    if kind == "volcanic":
        body = steady(rng, size, 4.0, 2.0)
        for count, deep in ((40, 0.9), (150, 0.6)):
            pores = cells(rng, size, count, warp=_times(warp, 0.05))
            radius = (0.25 + 0.35 * pores.per_cell(rng)) / count**0.5
            body = body - deep * smoothstep(1.0, 0.55, pores.f1 / radius)
        return body, 0.3 + 0.5 * steady(rng, size, 2.0, 3.0)
    if kind == "cracked":
        slabs = cells(rng, size, int(rng.integers(9, 18)), warp=_times(warp, 0.18))
        small = cells(rng, size, 60, warp=_times(warp, 0.18))
        deep = np.maximum(
            smoothstep(0.035, 0.006, slabs.edge), 0.6 * smoothstep(0.018, 0.003, small.edge)
        )
        return 0.5 * broad + 0.35 * slabs.per_cell(
            rng
        ) - 0.9 * deep, 0.5 * broad + 0.5 * slabs.per_cell(rng)
    # Columns of basalt seen on their heads: near-regular cells at stepped levels.
    columns = cells(rng, size, int(rng.integers(16, 36)), jitter=0.55, warp=_times(warp, 0.03))
    step, joint = columns.per_cell(rng), smoothstep(0.005, 0.03, columns.edge)
    crumb = ridged(grain, size, 2.0, 3.0)
    return (0.15 + 0.7 * step + 0.1 * crumb) * joint, 0.4 + 0.4 * columns.per_cell(rng) - 0.3 * (
        1 - joint
    )


def _times(warp: FloatArray, amount: float) -> FloatArray:
    return (warp * amount).astype(np.float32)
