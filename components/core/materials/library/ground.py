"""Bare ground: cracked clay, mud with puddles, rippled sand, forest soil, gravel, furrows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.core.materials.library.shapes import (
    Colour,
    branch,
    displacement,
    finished,
    jittered,
    mottled_soil,
    over,
    shaded,
)
from components.core.materials.library.stamps import channels, disc, stamp, turf
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import cells, coordinates, mix, smoothstep, spectral

COLOURS: dict[str, Colour] = {
    "brown": (0.42, 0.30, 0.20),
    "dark": (0.25, 0.20, 0.16),
    "red": (0.58, 0.30, 0.18),
    "grey": (0.50, 0.48, 0.45),
    "yellow": (0.72, 0.58, 0.36),
    "pale": (0.74, 0.67, 0.55),
}
KINDS: dict[str, str] = {
    "cracked": "{c} dry cracked clay ground{e}",
    "mud": "wet {c} muddy ground with puddles{e}",
    "ripples": "{c} wind rippled sand ground{e}",
    "forest": "{c} forest ground with fallen leaves{e}",
    "gravel": "{c} gravelly soil ground{e}",
    "furrows": "{c} ploughed soil ground with furrows{e}",
    "dirt": "{c} dusty dirt ground{e}",
}
EXTRAS = ("", ", small stones", ", sparse grass", ", dry twigs")


@dataclass(frozen=True)
class Style:
    """The words of a piece of ground."""

    kind: str
    colour: str
    extra: str

    @property
    def caption(self) -> str:
        """For example "red dry cracked clay ground, sparse grass"."""
        return KINDS[self.kind].format(c=self.colour, e=self.extra)


def describe(rng: np.random.Generator) -> Style:
    """Draw a style."""
    extra = str(rng.choice(EXTRAS, p=[0.34, 0.22, 0.22, 0.22]))
    return Style(str(rng.choice(list(KINDS))), str(rng.choice(list(COLOURS))), extra)


def _stones(canvas: FloatArray, rng: np.random.Generator, count: int, colour: Colour) -> None:
    """Small round stones lying on the canvas."""
    lengths = rng.uniform(0.018, 0.048, count) * rng.uniform(0.7, 1.2, count)
    grey = np.asarray(colour) * 0.5 + 0.28
    colours = grey * rng.normal(1, 0.18, count)[:, None]

    def shade(x: FloatArray, y: FloatArray, i: NDArray[np.int64]) -> FloatArray:
        dome = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
        value = colours[i] * (0.78 + 0.28 * dome)[..., None]
        return channels(value, 0.48 + 0.42 * dome * lengths[i] / 0.05, 0.75)

    widths = lengths * rng.uniform(0.6, 0.95, count)
    angles = rng.uniform(0, np.pi, count)
    stamp(canvas, rng.random((count, 2)), angles, lengths, widths, disc, shade)


def _litter(canvas: FloatArray, rng: np.random.Generator, count: int, twigs: bool) -> None:
    """Fallen brown leaves, or thin dry twigs."""
    lengths = rng.uniform(0.12, 0.2, count) if twigs else rng.uniform(0.05, 0.085, count)
    widths = np.full(count, 0.011) if twigs else lengths * rng.uniform(0.4, 0.6, count)
    palette = np.asarray(
        [(0.50, 0.30, 0.13), (0.62, 0.42, 0.20), (0.38, 0.23, 0.12), (0.70, 0.52, 0.24)]
    )
    if twigs:
        palette = np.asarray([(0.46, 0.37, 0.28), (0.34, 0.26, 0.20)])
    colours = palette[rng.integers(len(palette), size=count)] * rng.normal(1, 0.1, count)[:, None]
    rank = np.linspace(0, 1, count)

    def shade(x: FloatArray, y: FloatArray, i: NDArray[np.int64]) -> FloatArray:
        vein = np.exp(-((8 * y) ** 2))
        light = 0.85 + 0.2 * disc(np.clip(y, -1, 1)) if twigs else 0.95 - 0.25 * vein + 0.12 * y
        round_ = -0.12 * y * y if twigs else 0.16 * y * y + 0.08 * x * x - 0.04 * vein
        return channels(colours[i] * light[..., None], 0.55 + 0.3 * rank[i] + round_, 0.7)

    bends = rng.normal(0, 2.0 if twigs else 0.25, count)
    outline = (lambda x: np.full_like(x, 0.9)) if twigs else (lambda x: (1 - x * x) ** 0.8)
    angles = rng.uniform(0, 2 * np.pi, count)
    stamp(canvas, rng.random((count, 2)), angles, lengths, widths, outline, shade, bends)


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """The maps of a style."""
    layout, tint, noise = branch(rng, 3)
    colour = jittered(tint, COLOURS[style.colour], 0.05)
    canvas = _base(style.kind, colour, layout, noise, size)
    if style.kind == "gravel":
        _stones(canvas, layout, 150, colour)
    if style.kind == "forest":
        _litter(canvas, layout, 55, twigs=False)
    if "stones" in style.extra:
        _stones(canvas, layout, 22, colour)
    elif "twigs" in style.extra:
        _litter(canvas, layout, 9, twigs=True)
    elif "grass" in style.extra:
        greens: list[Colour] = [(0.30, 0.42, 0.16), (0.45, 0.50, 0.22)]
        turf(canvas, layout, 70, greens, length=0.06, width=0.011, base=0.45, top=0.8)
    return finished("ground", style.caption, canvas[..., :3], canvas[..., 3], canvas[..., 4])


def _base(
    kind: str,
    colour: Colour,
    layout: np.random.Generator,
    noise: np.random.Generator,
    size: int,
) -> FloatArray:
    """The bare ground of a kind as (size, size, 5) channels."""
    patches, fine = spectral(noise, size, 2.2, 1, 8), spectral(noise, size, 0.9, 8, 48)
    soil, relief = mottled_soil(noise, size, colour)
    soil = soil * (0.85 + 0.3 * patches)[..., None]
    u, v = coordinates(size)
    if kind == "cracked":
        warp = displacement(noise, size, 1.8, 3, 10, 0.06)
        plates = cells(layout, size, int(layout.integers(12, 34)), jitter=0.9, warp=warp)
        width = 0.022
        plate = smoothstep(width * 0.5, width * 1.8, plates.edge)
        curl = smoothstep(0.16, 0.02, plates.edge)  # drying lifts the rims
        tone = plates.per_cell(layout)
        crust = np.asarray(colour, np.float32) * (0.92 + 0.22 * fine + 0.16 * tone)[..., None]
        crust = over(crust, shaded(colour, 1.3), 0.35 * curl)
        height = mix(0.12, 0.55 + 0.16 * curl + 0.12 * (tone - 0.5) + 0.10 * (fine - 0.5), plate)
        albedo = over(np.broadcast_to(shaded(colour, 0.42), crust.shape), crust, plate)
        return channels(albedo, height, 0.93 - 0.06 * plate)
    if kind == "mud":
        hollows = spectral(noise, size, 3.2, 2, 10)
        height = 0.20 + 0.55 * hollows + 0.20 * (relief - 0.5) * smoothstep(0.3, 0.6, hollows)
        wet = smoothstep(0.46, 0.38, height)  # water stands in the hollows
        albedo = over(soil * 0.85, shaded(colour, 0.45), wet)
        return channels(albedo, np.maximum(height, 0.40), mix(0.62, 0.06, wet))
    if kind == "ripples":
        n = int(layout.integers(5, 9))
        lean = int(layout.integers(-1, 2))
        phase = (v * n + u * lean + 1.2 * spectral(noise, size, 3.2, 1, 5)) % 1.0
        crest = np.where(phase < 0.68, phase / 0.68, (1 - phase) / 0.32)
        crest = smoothstep(0.0, 1.0, crest)
        light = 0.86 + 0.22 * crest + 0.12 * (fine - 0.5)
        sand = np.asarray(shaded(colour, 1.08), np.float32) * light[..., None]
        return channels(sand, 0.25 + 0.42 * crest + 0.06 * fine + 0.1 * patches, 0.92)
    if kind == "furrows":
        n = int(layout.integers(3, 6))
        bend = spectral(noise, size, 3.2, 1, 5) - 0.5
        ridge = 0.5 + 0.5 * np.cos(2 * np.pi * (u * n + 0.4 * bend))
        level = 0.08 + 0.66 * ridge + 0.30 * (relief - 0.3) * (0.4 + 0.6 * ridge)
        return channels(soil * (0.58 + 0.52 * ridge)[..., None], level, 0.95)
    if kind == "dirt":
        pits = smoothstep(0.62, 0.85, spectral(noise, size, 1.8, 3, 16))
        height = 0.5 + 0.25 * (patches - 0.5) + 0.16 * (relief - 0.5) - 0.18 * pits
        dust = over(soil, shaded(colour, 1.25), 0.45 * patches)
        return channels(dust * (1 - 0.25 * pits)[..., None], height, 0.94)
    clods = cells(layout, size, 140)
    lump = smoothstep(0.0, 0.05, clods.edge) * (0.5 + 0.5 * clods.per_cell(layout))
    height = 0.15 + 0.28 * lump + 0.18 * relief
    return channels(soil * (0.65 + 0.4 * lump)[..., None], height, 0.94)
