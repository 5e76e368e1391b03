"""Glazed ceramics: square, hexagonal, patterned, checkered and mosaic tiles, crackled glaze."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.core.materials.library.shapes import (
    Colour,
    Tiles,
    branch,
    courses,
    displacement,
    finished,
    hexagons,
    jittered,
    over,
    shaded,
    solid,
)
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import cells, mix, smoothstep, spectral

KINDS = (
    "square tiles", "subway tiles", "hexagon tiles", "mosaic tiles", "checkered tiles",
    "patterned tiles", "crackled glaze",
)  # fmt: skip
COLOURS: dict[str, Colour] = {
    "white": (0.86, 0.86, 0.84),
    "cobalt blue": (0.13, 0.25, 0.62),
    "turquoise": (0.18, 0.62, 0.64),
    "emerald green": (0.10, 0.45, 0.30),
    "mustard yellow": (0.82, 0.62, 0.18),
    "rose pink": (0.83, 0.54, 0.56),
    "terracotta": (0.72, 0.38, 0.25),
    "black": (0.11, 0.11, 0.12),
    "cream": (0.87, 0.80, 0.66),
    "burgundy": (0.42, 0.10, 0.14),
}
GROUTS: dict[str, Colour] = {"white": (0.82, 0.81, 0.78), "dark": (0.24, 0.23, 0.23)}
FINISHES = ("glossy", "matte", "worn")


@dataclass(frozen=True)
class Style:
    """The words of a ceramic surface."""

    kind: str
    colour: str
    grout: str
    finish: str

    @property
    def caption(self) -> str:
        """For example "glossy turquoise ceramic hexagon tiles, white grout"."""
        if self.kind == "crackled glaze":
            return f"{self.finish} {self.colour} ceramic with crackled glaze"
        return f"{self.finish} {self.colour} ceramic {self.kind}, {self.grout} grout"


def describe(rng: np.random.Generator) -> Style:
    """Draw a style; grout contrasts with the darkest and lightest glazes."""
    kind, colour = str(rng.choice(KINDS)), str(rng.choice(list(COLOURS)))
    forced = {"black": "white", "white": "dark", "burgundy": "white"}
    grout = forced.get(colour, str(rng.choice(list(GROUTS))))
    return Style(kind, colour, grout, str(rng.choice(FINISHES)))


def _layout(kind: str, rng: np.random.Generator, size: int) -> Tiles:
    if kind == "hexagon tiles":
        columns, rows = ((5, 6), (7, 8))[int(rng.integers(2))]
        return hexagons(size, columns, rows)
    if kind == "subway tiles":
        return courses(size, 6, 2 + int(rng.integers(2)))
    if kind == "mosaic tiles":
        n = int(rng.integers(8, 11))
        return courses(size, n, n, shift=0.0)
    n = int(rng.choice([2, 4])) if kind == "checkered tiles" else int(rng.integers(2, 5))
    return courses(size, n, n, shift=0.0)


def _ornament(tiles: Tiles, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Two masks of an azulejo: a rosette with rings, and the corners where four tiles meet."""
    radius = np.hypot(tiles.x, tiles.y).astype(np.float32)
    angle = np.arctan2(tiles.y, tiles.x) + np.pi / 4 * rng.integers(2)
    wave = np.cos(int(rng.choice([4, 8])) * angle).astype(np.float32)
    rim = rng.uniform(0.45, 0.62) + rng.uniform(0.12, 0.25) * wave
    rosette = smoothstep(0.05, -0.05, radius - rim)
    rosette = rosette - smoothstep(0.05, -0.05, radius - rim * rng.uniform(0.35, 0.6))
    corner = np.hypot(1 - np.abs(tiles.x), 1 - np.abs(tiles.y)).astype(np.float32)
    size = rng.uniform(0.35, 0.6)
    arc = smoothstep(0.05, -0.05, corner - size) - smoothstep(0.05, -0.05, corner - 0.6 * size)
    heart = smoothstep(0.05, -0.05, radius - 0.16)
    return np.clip(rosette + arc, 0, 1), np.clip(
        heart + smoothstep(0.05, -0.05, corner - 0.35 * size), 0, 1
    )


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """The maps of a style."""
    layout, tint, noise = branch(rng, 3)
    colour = jittered(tint, COLOURS[style.colour], 0.03)
    patches, fine = spectral(noise, size, 2.4, 2, 12), spectral(noise, size, 1.0, 8, 40)
    gloss = {"glossy": 0.10, "matte": 0.55, "worn": 0.25}[style.finish]
    if style.kind == "crackled glaze":
        return _crackled(style, colour, (layout, noise), size, gloss)

    tiles = _layout(style.kind, layout, size)
    small = style.kind == "mosaic tiles"
    joint = 0.011 if small else layout.uniform(0.010, 0.016)
    depth = tiles.edge - joint
    face = smoothstep(-0.005, 0.005, depth)
    bevel = smoothstep(0.0, 0.018 if small else 0.03, depth)
    chosen, level = tiles.per_tile(tint), tiles.per_tile(tint)

    glaze = solid(size, colour)
    if style.kind == "checkered tiles":
        n = round(tiles.count**0.5)
        odd = ((tiles.ids // n + tiles.ids % n) % 2).astype(np.float32)
        light = sum(colour) > 1.9
        glaze = over(glaze, (0.16, 0.16, 0.17) if light else (0.86, 0.84, 0.80), odd)
    if small:  # a mosaic mixes light, dark and greyed tones of its colour
        glaze = over(glaze, shaded(colour, 0.55), (chosen < 0.35).astype(np.float32))
        pale = tuple(0.55 * c + 0.40 for c in colour)
        glaze = over(glaze, (pale[0], pale[1], pale[2]), (chosen > 0.72).astype(np.float32))
    if style.kind == "patterned tiles":
        drawn, accent = _ornament(tiles, layout)
        light = sum(colour) > 2.1
        ground: Colour = (0.20, 0.32, 0.55) if light else (0.87, 0.84, 0.77)
        glaze = over(over(solid(size, ground), colour, drawn), shaded(colour, 0.6), accent)
    glaze = glaze * (0.94 + 0.10 * level + 0.10 * (patches - 0.5) - 0.06 * (1 - bevel))[..., None]

    relief = 0.60 + 0.10 * bevel + 0.05 * (level - 0.5) + 0.04 * (patches - 0.5)
    relief = relief + 0.05 * ((chosen - 0.5) * tiles.x + (level - 0.5) * tiles.y)
    rough = gloss + 0.06 * patches
    if style.finish == "worn":  # scratches and chipped edges show the pale body
        chips = smoothstep(0.62, 0.72, fine * 0.5 + patches * 0.5) * smoothstep(0.06, 0.0, depth)
        glaze = over(glaze, (0.74, 0.68, 0.60), chips * 0.85)
        glaze = over(glaze, (0.45, 0.42, 0.38), 0.35 * smoothstep(0.55, 0.95, patches))
        relief = relief - 0.10 * chips
        rough = rough + 0.45 * chips + 0.35 * smoothstep(0.4, 0.9, patches)
    grout = solid(size, GROUTS[style.grout]) * (0.85 + 0.25 * fine)[..., None]
    return finished(
        "ceramic",
        style.caption,
        over(grout, glaze, face),
        mix(0.36 + 0.06 * fine, relief, face),
        mix(0.90, rough, face),
    )


def _crackled(
    style: Style,
    colour: Colour,
    rngs: tuple[np.random.Generator, np.random.Generator],
    size: int,
    gloss: float,
) -> Material:
    """One glazed surface with a net of fine cracks over pooled glaze."""
    layout, noise = rngs
    pools, fine = spectral(noise, size, 2.6, 1, 8), spectral(noise, size, 1.2, 6, 40)
    warp = displacement(noise, size, 2.2, 3, 9, 0.06)
    net = cells(layout, size, int(layout.integers(18, 45)), jitter=0.95, warp=warp)
    crack = smoothstep(0.018, 0.004, net.edge)
    dull = smoothstep(0.08, 0.0, net.edge) * 0.25
    glaze = (
        solid(size, colour) * (0.84 + 0.28 * pools + 0.10 * (net.per_cell(layout) - 0.5))[..., None]
    )
    dark_lines = sum(colour) > 1.2
    line: Colour = (0.30, 0.22, 0.16) if dark_lines else (0.74, 0.68, 0.58)
    glaze = over(glaze * (1 - 0.4 * dull)[..., None], line, crack * 0.85)
    height = 0.55 + 0.14 * (pools - 0.5) + 0.015 * (fine - 0.5) - 0.14 * crack
    rough = gloss + 0.10 * (1 - pools) + 0.45 * crack
    if style.finish == "worn":
        rough = rough + 0.30 * smoothstep(0.4, 0.8, pools)
        glaze = over(glaze, (0.55, 0.49, 0.42), 0.35 * smoothstep(0.55, 0.9, pools))
    return finished("ceramic", style.caption, glaze, height, rough)
