"""Granite: interlocking mineral grains of three or four colours, polished, honed or rough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.core.materials.library.shapes import (
    Colour,
    branch,
    courses,
    displacement,
    finished,
    jittered,
    over,
    solid,
)
from components.core.materials.material import Material
from components.core.materials.noise import cells, mix, smoothstep, spectral

MINERALS: dict[str, tuple[Colour, Colour, Colour, Colour]] = {
    "salt and pepper": (
        (0.83, 0.82, 0.80), (0.66, 0.66, 0.66), (0.42, 0.42, 0.43), (0.15, 0.15, 0.16),
    ),
    "pink": ((0.80, 0.56, 0.50), (0.70, 0.43, 0.39), (0.78, 0.74, 0.70), (0.22, 0.19, 0.19)),
    "black": ((0.16, 0.16, 0.17), (0.11, 0.11, 0.12), (0.26, 0.27, 0.29), (0.52, 0.53, 0.55)),
    "red": ((0.58, 0.23, 0.18), (0.44, 0.15, 0.13), (0.62, 0.48, 0.44), (0.15, 0.12, 0.13)),
    "grey": ((0.57, 0.58, 0.59), (0.47, 0.48, 0.49), (0.70, 0.70, 0.70), (0.28, 0.28, 0.29)),
    "green": ((0.28, 0.36, 0.30), (0.19, 0.27, 0.23), (0.50, 0.54, 0.46), (0.11, 0.14, 0.13)),
    "golden brown": (
        (0.72, 0.56, 0.36), (0.58, 0.41, 0.25), (0.82, 0.74, 0.60), (0.26, 0.19, 0.15),
    ),
    "blue": ((0.40, 0.45, 0.53), (0.31, 0.36, 0.44), (0.62, 0.66, 0.71), (0.14, 0.16, 0.20)),
    "white": ((0.88, 0.87, 0.85), (0.79, 0.78, 0.76), (0.66, 0.65, 0.64), (0.38, 0.37, 0.37)),
}  # fmt: skip
"""Two feldspars, quartz and the dark mica of each stone."""

GRAINS: dict[str, int] = {"fine grained": 900, "coarse": 260, "speckled": 520}
FINISHES = ("polished", "honed", "rough", "weathered")
FORMS = ("slab", "tiles", "blocks")


@dataclass(frozen=True)
class Style:
    """The words of a granite."""

    colour: str
    grain: str
    finish: str
    form: str

    @property
    def caption(self) -> str:
        """For example "polished coarse pink granite slab"."""
        return f"{self.finish} {self.grain} {self.colour} granite {self.form}"


def describe(rng: np.random.Generator) -> Style:
    """Draw a style."""
    form = str(rng.choice(FORMS, p=[0.6, 0.25, 0.15]))
    return Style(
        str(rng.choice(list(MINERALS))),
        str(rng.choice(list(GRAINS))),
        str(rng.choice(FINISHES)),
        form,
    )


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """The maps of a style."""
    layout, tint, noise = branch(rng, 3)
    fine, drift = spectral(noise, size, 0.8, 8, 48), spectral(noise, size, 2.2, 2, 10)
    shift = displacement(noise, size, 1.6, 5, 14, 0.03)
    grain = cells(layout, size, GRAINS[style.grain], warp=shift)
    kind = grain.per_cell(tint) + 0.10 * (drift - 0.5)
    tone = grain.per_cell(tint)

    feldspar, other, quartz, mica = (jittered(tint, c, 0.02) for c in MINERALS[style.colour])
    blend = smoothstep(0.2, 0.7, 0.75 * kind + 0.5 * (fine - 0.5))  # feldspars grade into another
    albedo = over(solid(size, feldspar), other, blend)
    albedo = over(albedo, quartz, 0.9 * (kind > 0.72).astype(np.float32))
    flecks = spectral(noise, size, 0.4, 9, 20)  # mica gathers in flakes smaller than the grains
    flake = smoothstep(0.72, 0.80, flecks + {"speckled": 0.07, "coarse": -0.04}.get(style.grain, 0))
    dark = np.maximum(flake, 0.85 * (kind > 0.90).astype(np.float32)).astype(np.float32)
    albedo = over(albedo, mica, dark)
    seam = smoothstep(0.016, 0.0, grain.edge)
    albedo = albedo * (0.93 + 0.26 * (tone - 0.5) + 0.10 * fine - 0.10 * seam)[..., None]

    bumps = {"polished": 0.015, "honed": 0.05, "rough": 0.50, "weathered": 0.32}[style.finish]
    rough_base = {"polished": 0.10, "honed": 0.38, "rough": 0.82, "weathered": 0.70}[style.finish]
    relief = 0.45 * (tone - 0.5) + 0.7 * (drift - 0.5) + 0.5 * (fine - 0.5) - 0.25 * seam
    height = 0.55 + bumps * relief - 0.02 * dark
    roughness = rough_base + 0.10 * dark + 0.06 * (tone - 0.5) + 0.06 * seam
    if style.finish == "rough":
        albedo = over(albedo, (0.80, 0.79, 0.77), 0.16 * fine)
    if style.finish == "weathered":
        stain = smoothstep(0.50, 0.80, drift)
        albedo = over(albedo, (0.40, 0.37, 0.28), 0.55 * stain)
        albedo = over(
            albedo, (0.55, 0.57, 0.42), 0.6 * smoothstep(0.78, 0.9, fine * 0.4 + drift * 0.6)
        )
        roughness = roughness + 0.12 * stain

    if style.form != "slab":
        blocks = style.form == "blocks"
        third = np.float32(1 / 3)
        n = int(layout.integers(2, 4))
        wobble = (shift[..., 0] * third, shift[..., 1] * third) if blocks else None
        tiles = (
            courses(size, 4, 2, wobble=wobble)
            if blocks
            else courses(size, n, n, shift=0.0, wobble=wobble)
        )
        depth = tiles.edge - (0.014 if blocks else 0.010)
        face = smoothstep(-0.004, 0.006, depth)
        body = tiles.per_tile(tint)
        albedo = albedo * (0.88 + 0.20 * body)[..., None]
        albedo = over(solid(size, (0.45, 0.43, 0.40)) * (0.8 + 0.3 * fine)[..., None], albedo, face)
        swell = (0.18 if blocks else 0.03) * smoothstep(0.0, 0.05, depth)
        height = mix(0.34 + 0.05 * fine, height + swell + 0.06 * (body - 0.5), face)
        roughness = mix(0.92, roughness, face)
    return finished("granite", style.caption, albedo, height, roughness)
