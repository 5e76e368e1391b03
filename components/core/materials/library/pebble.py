"""Pebbles: rounded Worley cells at one or two sizes, with sand, water-dark gaps or soil between.

A cell's normalised distance to its border is the pebble's profile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.core.materials.library.motifs import (
    Colour,
    bends,
    blend,
    domes,
    finish,
    forks,
    pick,
    random_colours,
    shaded,
    steady,
)
from components.core.materials.library.weather import weather
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import Cells, cells, ramp, smoothstep, spectral

COLOURS: dict[str, list[Colour]] = {
    "grey": [(0.42, 0.42, 0.42), (0.55, 0.55, 0.54), (0.66, 0.66, 0.64), (0.32, 0.33, 0.34)],
    "brown": [(0.48, 0.36, 0.26), (0.58, 0.45, 0.33), (0.38, 0.27, 0.19), (0.66, 0.55, 0.43)],
    "white": [(0.84, 0.83, 0.80), (0.88, 0.87, 0.85), (0.76, 0.75, 0.72)],
    "black": [(0.12, 0.12, 0.13), (0.18, 0.18, 0.19), (0.24, 0.25, 0.26)],
    "red": [(0.52, 0.24, 0.18), (0.62, 0.32, 0.24), (0.44, 0.20, 0.16), (0.68, 0.46, 0.38)],
    "blue grey": [(0.32, 0.39, 0.46), (0.42, 0.50, 0.57), (0.54, 0.61, 0.66)],
    "golden": [(0.74, 0.58, 0.32), (0.82, 0.68, 0.42), (0.64, 0.48, 0.26)],
    "green": [(0.34, 0.42, 0.33), (0.44, 0.52, 0.42), (0.28, 0.34, 0.28)],
    "colourful": [(0.62, 0.32, 0.25), (0.38, 0.44, 0.50), (0.80, 0.76, 0.68),
                  (0.56, 0.46, 0.30), (0.30, 0.30, 0.31), (0.44, 0.52, 0.42)],
}  # fmt: skip
KINDS = {
    "river": "smooth round {} river pebbles",
    "shingle": "small {} beach shingle pebbles",
    "gravel": "sharp {} gravel pebbles",
    "wet": "wet glossy {} pebbles",
    "sand": "{} pebbles scattered on sand",
    "mixed": "large and small {} pebbles",
    "mossy": "{} pebbles with green moss between",
}
# Pebbles across the tile, least and most.
ACROSS = {"river": (5, 6), "shingle": (8, 10), "gravel": (8, 10), "wet": (6, 8)}
ACROSS |= {"sand": (5, 7), "mixed": (4, 5), "mossy": (5, 7)}
# Share of the upper layer's pebbles left out.
MISSING = {"mixed": 0.4, "sand": 0.45, "river": 0.12}


@dataclass(frozen=True)
class Style:
    """The kind of bed and its colour family."""

    kind: str
    colour: str
    state: str = ""

    @property
    def caption(self) -> str:
        """What a person would call it."""
        return f"{self.state} {KINDS[self.kind].format(self.colour)}".strip()


def describe(rng: np.random.Generator) -> Style:
    """Draw a style."""
    kind = pick(rng, tuple(KINDS))
    states = ("", "speckled") if kind == "wet" else ("", "", "speckled", "dusty")
    return Style(kind, pick(rng, tuple(COLOURS)), pick(rng, states))


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """One or two layers of pebbles over their ground."""
    layout, grain, after = forks(rng, 3)
    speck = spectral(grain, size, 0.9, 8.0)
    ground, ground_height = _ground(style.kind, layout, size, speck)
    across = int(layout.integers(*ACROSS[style.kind], endpoint=True))
    palette = COLOURS[style.colour]
    albedo, height = ground, ground_height
    wet = style.kind == "wet"
    roughness: FloatArray = np.full((size, size), 0.95, np.float32)
    layers = [(across, 1.0)]
    if style.kind != "gravel" and style.kind != "mossy":
        layers = [(int(across * (2.0 if style.kind != "shingle" else 1.3)), 0.45), (across, 1.0)]
    for index, (number, tall) in enumerate(layers):
        sparse = (index == len(layers) - 1 and len(layers) > 1) or style.kind == "sand"
        missing = MISSING.get(style.kind, 0.0) if sparse else 0.0
        if style.kind == "sand" and index == 0:
            missing = 0.8
        body, top, tone, here = _layer(style.kind, layout, size, number, palette, missing)
        tone = shaded(tone, speck, 0.22)
        surface = 0.08 + tall * (0.18 + 0.5 * top + 0.22 * here) * body + 0.02 * (speck - 0.5)
        over = smoothstep(0.0, 0.2, body) * smoothstep(-0.01, 0.02, surface - height)
        albedo = blend(albedo, tone * (0.62 if wet else 1.0), over)
        height = np.where(body > 0, np.maximum(height, surface), height).astype(np.float32)
        smooth = 0.12 if wet else 0.75 if style.kind == "gravel" else 0.52
        roughness = roughness + over * (smooth + 0.1 * (speck - 0.5) - roughness)
    return weather(finish("pebble", style.caption, albedo, height, roughness), style.state, after)


def _layer(
    kind: str,
    rng: np.random.Generator,
    size: int,
    number: int,
    palette: list[Colour],
    missing: float,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """(profile, per-pebble height, colour, second per-pebble number) of one layer."""
    angular = kind == "gravel"
    bend = bends(rng, size, 4.2, 3.0, 0.025)
    aspect = float(rng.uniform(1.0, 1.6))
    jitter = 0.85 if angular else 0.78
    bed = cells(rng, size, number * number, jitter=jitter, aspect=aspect, warp=bend)
    present = (rng.random(bed.count) >= missing).astype(np.float32)[bed.ids]
    share = bed.edge / np.maximum(bed.f1 + bed.f2, 1e-6)
    if angular:
        tilt = _tilts(rng, bed) * number
        profile = np.clip(smoothstep(0.03, 0.22, share) * (0.8 + 0.35 * tilt), 0, 1.2)
    else:
        gap = 0.14 if kind in ("sand", "mossy") else 0.05
        # The corners of a cell are far from its seed: an ellipse around the seed cuts them.
        reach = (0.46 + 0.18 * bed.per_cell(rng)) * (1.0 / (number * aspect**0.5))
        profile = domes(np.minimum(share - gap, 0.8 * (1.0 - bed.f1 / reach)), 0.55)
    tone = random_colours(rng, bed.count, palette, 0.16)[bed.ids]
    vein = np.abs(steady(rng, size, 4.6, 3.0) - bed.per_cell(rng))
    # A few pebbles carry a quartz band.
    banded = smoothstep(0.05, 0.015, vein) * (bed.per_cell(rng) < 0.25)
    tone = blend(tone, tone * 0.4 + 0.5, 0.6 * banded)
    return (profile * present).astype(np.float32), bed.per_cell(rng), tone, bed.per_cell(rng)


def _tilts(rng: np.random.Generator, bed: Cells) -> FloatArray:
    """A plane of random slope through every cell."""
    slopes = rng.uniform(-1, 1, (bed.count, 2)).astype(np.float32)[bed.ids]
    return (slopes[..., 0] * bed.du + slopes[..., 1] * bed.dv).astype(np.float32)


def _ground(
    kind: str, rng: np.random.Generator, size: int, speck: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(colour, height) of what lies between the pebbles."""
    dune = steady(rng, size, 4.2, 1.5)
    if kind == "mossy":
        tone = ramp(
            0.5 * speck + 0.5 * dune, [(0.10, 0.17, 0.05), (0.24, 0.36, 0.10), (0.36, 0.46, 0.16)]
        )
        return tone, (0.12 + 0.14 * dune + 0.10 * speck).astype(np.float32)
    if kind == "sand":
        tone = ramp(
            0.6 * speck + 0.4 * dune, [(0.60, 0.50, 0.36), (0.74, 0.64, 0.48), (0.82, 0.73, 0.58)]
        )
        return tone, (0.18 + 0.16 * dune + 0.04 * speck).astype(np.float32)
    tone = ramp(speck, [(0.12, 0.10, 0.08), (0.26, 0.22, 0.18)])
    return tone, (0.04 + 0.08 * speck).astype(np.float32)
