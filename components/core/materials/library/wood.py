"""Wood: grain is the contour pattern of stretched noise, shifted from board to board.

Boards, parquet, painted boards, bark, burl, bamboo and log ends share the grain and its colours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from components.core.materials.library.motifs import (
    Blocks,
    Colour,
    blend,
    courses,
    finish,
    forks,
    pick,
    shaded,
    steady,
    streaks,
)
from components.core.materials.library.weather import weather
from components.core.materials.library.wood_forms import (
    BAMBOO,
    BARKS,
    WOODS,
    Maps,
    bamboo,
    bark,
    burl,
    logs,
)
from components.core.materials.library.wording import Kinds, Wording
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import coordinates, ramp, smoothstep, warped

PAINTS: dict[str, Colour] = {
    "white": (0.84, 0.83, 0.79),
    "turquoise": (0.30, 0.60, 0.58),
    "blue": (0.22, 0.38, 0.58),
    "green": (0.28, 0.44, 0.28),
    "red": (0.58, 0.17, 0.13),
    "yellow": (0.84, 0.68, 0.28),
}
KINDS: Kinds = {
    "planks": ("{} wood planks", tuple(WOODS)),
    "parquet": ("{} wood parquet floor", tuple(WOODS)[:6]),
    "painted": ("peeling {} painted wood boards", tuple(PAINTS)),
    "bark": ("rough {} tree bark wood", tuple(BARKS)),
    "burl": ("{} burl wood", tuple(WOODS)[:6]),
    "logs": ("stacked {} wood log ends", ("oak", "pale pine", "honey", "weathered grey")),
    "bamboo": ("{} bamboo wood canes", tuple(BAMBOO)),
    "board": ("solid {} wood with knots", tuple(WOODS)),
}


class Style(Wording):
    """What was made of the wood, and its kind or paint."""

    kinds = KINDS


def describe(rng: np.random.Generator) -> Style:
    """Draw a style; planks are the commonest."""
    kind = pick(rng, ("planks", *KINDS))
    outdoors = kind in ("bark", "logs", "painted", "bamboo")
    states = (
        ("", "", "mossy", "wet", "snowy") if outdoors else ("", "", "varnished", "worn", "dusty")
    )
    return Style(kind, pick(rng, KINDS[kind][1]), pick(rng, states))


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """The maps of one kind."""
    forms: dict[str, Callable[..., Maps]] = {
        "bark": bark,
        "burl": burl,
        "logs": logs,
        "bamboo": bamboo,
    }
    layout, grain, after = forks(rng, 3)
    if style.kind in forms:
        albedo, height, roughness = forms[style.kind](style.colour, layout, grain, size)
    else:
        albedo, height, roughness = _boards(style, layout, grain, size)
    return weather(finish("wood", style.caption, albedo, height, roughness), style.state, after)


def _grain(
    layout: np.random.Generator, size: int, blocks: Blocks, rings: float
) -> tuple[FloatArray, FloatArray]:
    """(rings, knots) in [0, 1], running along u, with every block cut from another place."""
    shift_u, shift_v = blocks.per_block(layout), blocks.per_block(layout)
    bow = warped(steady(layout, size, 4.8, 1.0, None, (2.5, 1.0)), shift_u, shift_v)
    phase = rings * blocks.y + 2.6 * bow + 7.0 * shift_u
    knots: FloatArray = np.zeros((size, size), np.float32)
    u, v = coordinates(size)
    for _ in range(int(layout.integers(1, 4))):
        centre = layout.random(2)
        du = ((u - centre[0] + 0.5) % 1 - 0.5) / 1.9
        dv = (v - centre[1] + 0.5) % 1 - 0.5
        knot = np.exp(-(du**2 + dv**2) / layout.uniform(0.020, 0.036) ** 2)
        # A knot belongs to the board that holds its centre.
        home = blocks.ids[int(centre[1] * size), int(centre[0] * size)]
        knots = np.maximum(knots, knot * (blocks.ids == home))
    phase = phase + 2.2 * knots
    saw = phase % 1.0
    ring = smoothstep(0.0, 0.7, saw) * smoothstep(1.0, 0.86, saw)
    return ring.astype(np.float32), knots


def _boards(
    style: Style, layout: np.random.Generator, grain: np.random.Generator, size: int
) -> Maps:
    """Planks, a solid board, parquet and painted boards: blocks with grain along them."""
    rows, columns = int(layout.integers(4, 7)), 2
    if style.kind == "board":
        rows, columns = 1, 1
    elif style.kind == "painted":
        rows, columns = int(layout.integers(3, 6)), 1
    elif style.kind == "parquet":
        rows, columns = 8, 2
    parquet = style.kind == "parquet"
    uneven = 0.3 if style.kind == "planks" else 0.0
    blocks = courses(layout, size, rows, columns, irregular=uneven, stagger=0.0 if parquet else 1.0)
    ring, knots = _grain(
        layout, size, blocks, 9.0 if style.kind == "board" else pick(layout, (1.5, 2.5, 3.5))
    )
    fibre, cloud = streaks(grain, size, 12.0), steady(layout, size, 4.2, 1.5, None, (3.0, 1.0))
    if style.kind == "board":
        # One slab: no border, and its rings close over the tile's edge since 9 is whole.
        tone, gap = cloud, np.zeros_like(cloud)
    else:
        tone, gap = blocks.per_block(layout), smoothstep(0.011, 0.003, blocks.edge)
    shade = np.clip(
        0.30 + 0.36 * ring + 0.34 * (fibre - 0.5) + 0.30 * (tone - 0.5) + 0.14 * cloud, 0, 1
    )
    palette = WOODS["weathered grey" if style.kind == "painted" else style.colour]
    albedo = ramp(shade, palette)
    albedo = blend(albedo, np.asarray(palette[0]) * 0.6, 0.85 * smoothstep(0.35, 0.9, knots))
    old = "grey" in style.colour or style.kind == "painted"
    height = (
        0.62 + 0.06 * (ring - 0.5) + (0.10 if old else 0.05) * (fibre - 0.5) + 0.08 * (tone - 0.5)
    )
    roughness = (0.78 if old else 0.40 + 0.2 * layout.random()) + 0.14 * (fibre - 0.5) - 0.05 * ring
    if style.kind == "painted":
        flake = 0.55 * steady(layout, size, 2.0, 2.0, None, (2.0, 1.0)) + 0.45 * fibre
        coat = smoothstep(0.40, 0.44, flake)
        colour = shaded(
            np.broadcast_to(np.asarray(PAINTS[style.colour], np.float32), (size, size, 3)),
            cloud,
            0.2,
        )
        albedo = blend(albedo, shaded(colour, blocks.per_block(layout), 0.1), coat)
        height = height + 0.09 * coat - 0.03
        roughness = roughness + coat * (0.48 - roughness)
    albedo = blend(albedo, np.asarray(palette[0]) * 0.35, gap)
    height, roughness = height - 0.45 * gap, roughness + 0.2 * gap
    if parquet:
        return _woven(albedo, height, roughness, size)
    # Boards stand upright, a solid slab lies.
    if style.kind in ("planks", "painted"):
        return albedo.transpose(1, 0, 2), height.T, roughness.T
    return albedo, height, roughness


def _woven(albedo: FloatArray, height: FloatArray, roughness: FloatArray, size: int) -> Maps:
    """Basket parquet: every other square of the 2 × 2 layout is turned."""
    u, v = coordinates(size)
    turned = ((np.floor(u * 2) + np.floor(v * 2)) % 2).astype(bool)
    edge = np.minimum(*(np.minimum(w, 1 - w) for w in (u * 2 % 1, v * 2 % 1))) / 2
    gap = smoothstep(0.011, 0.003, edge)
    colour = np.where(turned[..., None], albedo.transpose(1, 0, 2), albedo)
    relief, rough = np.where(turned, height.T, height), np.where(turned, roughness.T, roughness)
    return shaded(colour, 1 - gap, 0.9) * 0.8, np.minimum(relief, 0.62 - 0.4 * gap + 0.1), rough
