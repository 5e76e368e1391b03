"""Brick walls and pavings: five bonds, fired and painted bricks, four states of wear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.core.materials.library.shapes import (
    Colour,
    Tiles,
    basket,
    branch,
    courses,
    finished,
    herringbone,
    jittered,
    over,
    solid,
)
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import mix, smoothstep, spectral

BONDS = ("running bond", "stack bond", "flemish bond", "herringbone", "basket weave")
STATES = ("new", "weathered", "mossy", "crumbling", "painted")
FIRED: dict[str, tuple[Colour, Colour]] = {
    "red": ((0.62, 0.24, 0.17), (0.48, 0.18, 0.15)),
    "orange": ((0.78, 0.42, 0.24), (0.66, 0.32, 0.18)),
    "brown": ((0.42, 0.27, 0.19), (0.31, 0.19, 0.14)),
    "yellow": ((0.80, 0.66, 0.42), (0.70, 0.54, 0.32)),
    "grey": ((0.55, 0.54, 0.53), (0.42, 0.42, 0.43)),
    "charcoal": ((0.25, 0.24, 0.25), (0.33, 0.31, 0.31)),
    "pink": ((0.76, 0.52, 0.45), (0.68, 0.42, 0.37)),
}
PAINTS: dict[str, Colour] = {
    "white": (0.86, 0.85, 0.82),
    "blue": (0.25, 0.42, 0.62),
    "green": (0.36, 0.55, 0.42),
    "yellow": (0.87, 0.73, 0.35),
    "black": (0.15, 0.15, 0.16),
    "pink": (0.86, 0.60, 0.60),
}
MORTARS: dict[str, Colour] = {
    "pale": (0.76, 0.73, 0.68),
    "dark": (0.30, 0.29, 0.28),
    "sandy": (0.68, 0.57, 0.42),
}
MOSS: Colour = (0.30, 0.39, 0.14)


@dataclass(frozen=True)
class Style:
    """The words of a brick wall."""

    bond: str
    colour: str
    state: str
    mortar: str

    @property
    def caption(self) -> str:
        """For example "mossy red flemish bond brick, dark mortar"."""
        if self.state == "painted":
            return f"painted {self.colour} {self.bond} brick wall"
        return f"{self.state} {self.colour} {self.bond} brick, {self.mortar} mortar"


def describe(rng: np.random.Generator) -> Style:
    """Draw a style."""
    state = str(rng.choice(STATES))
    colour = str(rng.choice(list(PAINTS if state == "painted" else FIRED)))
    bond = str(rng.choice(BONDS, p=[0.4, 0.15, 0.15, 0.15, 0.15]))
    return Style(bond, colour, state, str(rng.choice(list(MORTARS))))


def _layout(style: Style, rng: np.random.Generator, noise: np.random.Generator, size: int) -> Tiles:
    slack = {"new": 0.004, "painted": 0.008}.get(style.state, 0.014)
    fields = [(spectral(noise, size, 2.0, 4, 12) - 0.5) * slack for _ in range(2)]
    wobble = (fields[0], fields[1])
    scale = int(rng.integers(2, 4))
    if style.bond == "herringbone":
        return herringbone(size, 8, wobble)
    if style.bond == "basket weave":
        return basket(size, 2 * scale - 2, wobble)
    if style.bond == "flemish bond":
        return courses(size, 2 * scale, max(1, scale - 1), header=0.35, wobble=wobble)
    shift = 0.0 if style.bond == "stack bond" else 0.5
    return courses(size, 2 * scale, scale, shift=shift, wobble=wobble)


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """The maps of a style."""
    layout, tint, noise = branch(rng, 3)
    tiles = _layout(style, layout, noise, size)
    worn = {"new": 0.15, "painted": 0.2, "weathered": 0.6, "mossy": 0.6, "crumbling": 1.0}
    wear = worn[style.state]
    coarse, fine = spectral(noise, size, 1.6, 4), spectral(noise, size, 0.7, 10, 40)
    patches = spectral(noise, size, 2.4, 1, 8)

    joint = layout.uniform(0.011, 0.017)
    bites = (0.5 - coarse) * 0.024 * wear  # worn bricks lose their straight edges
    depth = tiles.edge - joint - bites * (tiles.edge < 0.05)
    face = smoothstep(-0.004, 0.008, depth)
    round_off = smoothstep(0.0, 0.035, depth)
    chosen, level, pale = (tiles.per_tile(tint) for _ in range(3))
    tilt = (tiles.x * (chosen - 0.5) + tiles.y * (pale - 0.5)) * 0.10 * (0.4 + wear)
    surface = 0.66 + 0.10 * round_off + 0.14 * (level - 0.5) + tilt
    surface = surface + (coarse - 0.5) * (0.03 + 0.20 * wear) + (fine - 0.5) * (0.03 + 0.06 * wear)
    if style.state == "crumbling":
        surface = surface - 0.30 * smoothstep(0.62, 0.8, coarse) * (0.4 + chosen)
    height = mix(0.22 + 0.10 * fine + 0.08 * patches, surface, face)

    albedo = _fired(style, tint, (chosen, level, pale), (coarse, fine, patches), face)
    roughness = mix(0.92, 0.80 + 0.12 * fine - 0.06 * level, face)
    if style.state == "painted":
        blots = spectral(noise, size, 2.2, 3, 20)
        chips = smoothstep(0.70, 0.76, 0.7 * blots + 0.3 * patches + 0.05 * (1 - face))
        paint_layer = 1.0 - chips
        coat = solid(size, jittered(tint, PAINTS[style.colour], 0.03))
        coat = coat * (0.93 + 0.10 * patches + 0.05 * (level - 0.5))[..., None]
        albedo = over(albedo, coat * (0.86 + 0.14 * face)[..., None], paint_layer)
        height = height - 0.03 * chips
        roughness = mix(roughness, 0.45 + 0.12 * fine, paint_layer)
    if style.state == "mossy":
        growth = smoothstep(0.48, 0.66, 0.75 * patches + 0.25 * fine + 0.16 * (1 - face))
        green = solid(size, jittered(tint, MOSS)) * (0.65 + 0.7 * fine)[..., None]
        albedo = over(albedo, green, growth * 0.92)
        height = height + growth * (0.05 + 0.12 * fine)
        roughness = mix(roughness, 0.95, growth)
    return finished("brick", style.caption, albedo, height, roughness)


def _fired(
    style: Style,
    tint: np.random.Generator,
    tile: tuple[FloatArray, FloatArray, FloatArray],
    noise: tuple[FloatArray, FloatArray, FloatArray],
    face: FloatArray,
) -> FloatArray:
    """The colour of bare bricks and mortar."""
    chosen, _, pale = tile
    coarse, fine, patches = noise
    size = face.shape[0]
    pair = FIRED["red" if style.state == "painted" else style.colour]
    first, second = jittered(tint, pair[0]), jittered(tint, pair[1])
    clay = over(solid(size, first), second, chosen)
    clay = (
        clay * (0.88 + 0.30 * (pale - 0.3) + 0.22 * (coarse - 0.5) + 0.25 * (fine - 0.5))[..., None]
    )
    if style.state in ("weathered", "crumbling"):
        clay = over(clay, (0.72, 0.68, 0.63), 0.45 * smoothstep(0.55, 0.85, patches))
        clay = over(clay, (0.20, 0.18, 0.16), 0.45 * smoothstep(0.45, 0.10, patches))
    mortar = solid(size, jittered(tint, MORTARS[style.mortar])) * (0.8 + 0.35 * fine)[..., None]
    return over(mortar, clay, face)
