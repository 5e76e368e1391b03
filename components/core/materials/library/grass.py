"""Grass: stamped blades over soil, as lawn, meadow, dry field, straw or moss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.core.materials.library.shapes import (
    Colour,
    branch,
    finished,
    jittered,
    mottled_soil,
    over,
    shaded,
)
from components.core.materials.library.stamps import channels, disc, stamp, turf
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import cells, coordinates, smoothstep, spectral

KINDS = ("lawn", "meadow", "tall", "patchy", "mossy", "clover", "mown striped")
PALETTES: dict[str, tuple[Colour, Colour, Colour]] = {
    "lush green": ((0.18, 0.38, 0.10), (0.28, 0.50, 0.14), (0.42, 0.60, 0.22)),
    "dark green": ((0.11, 0.25, 0.09), (0.17, 0.33, 0.12), (0.25, 0.42, 0.16)),
    "yellow green": ((0.40, 0.48, 0.12), (0.54, 0.60, 0.18), (0.66, 0.68, 0.28)),
    "dry golden": ((0.60, 0.48, 0.24), (0.74, 0.62, 0.34), (0.82, 0.72, 0.46)),
    "pale straw": ((0.70, 0.64, 0.46), (0.80, 0.75, 0.58), (0.62, 0.54, 0.38)),
    "blue green": ((0.22, 0.34, 0.24), (0.32, 0.45, 0.34), (0.45, 0.56, 0.45)),
    "autumn brown": ((0.42, 0.28, 0.14), (0.55, 0.39, 0.20), (0.62, 0.50, 0.28)),
    "frosty": ((0.50, 0.58, 0.52), (0.66, 0.72, 0.68), (0.80, 0.84, 0.83)),
}
SHARES = (0.22, 0.16, 0.15, 0.13, 0.09, 0.08, 0.10, 0.07)
"""How often each palette is drawn; green is what grass mostly is."""

EXTRAS: dict[str, Colour] = {
    "": (0.0, 0.0, 0.0),
    "with white flowers": (0.88, 0.88, 0.84),
    "with yellow flowers": (0.90, 0.75, 0.15),
    "with fallen leaves": (0.66, 0.36, 0.14),
}


@dataclass(frozen=True)
class Style:
    """The words of a patch of grass."""

    kind: str
    colour: str
    extra: str

    @property
    def caption(self) -> str:
        """For example "lush green clover grass with white flowers"."""
        return f"{self.colour} {self.kind} grass {self.extra}".strip()


def describe(rng: np.random.Generator) -> Style:
    """Draw a style whose colour suits the plants."""
    extra = str(rng.choice(list(EXTRAS), p=[0.55, 0.15, 0.15, 0.15]))
    kind, colour = str(rng.choice(KINDS)), str(rng.choice(list(PALETTES), p=SHARES))
    if kind in ("mossy", "clover") and "green" not in colour:
        kind = "tall"  # moss and clover are green
    return Style(kind, colour, extra)


def _clover(canvas: FloatArray, rng: np.random.Generator, palette: list[Colour]) -> None:
    """Three round leaflets a plant, each with a pale mark."""
    plants = 75
    turn = rng.uniform(0, 2 * np.pi, plants)
    angle = np.repeat(turn, 3) + np.tile(np.arange(3) * 2 * np.pi / 3, plants)
    reach = np.repeat(rng.uniform(0.026, 0.040, plants), 3)
    where = np.repeat(rng.random((plants, 2)), 3, 0) + 0.9 * reach[:, None] * np.stack(
        [np.cos(angle), np.sin(angle)], -1
    )
    rank = np.repeat(np.linspace(0, 1, plants), 3)
    colours = np.asarray(palette)[np.repeat(rng.integers(len(palette), size=plants), 3)]
    colours = colours * (0.65 + 0.45 * rank)[:, None]

    def shade(x: FloatArray, y: FloatArray, i: NDArray[np.int64]) -> FloatArray:
        mark = np.exp(-(((np.hypot(x + 0.4, y) - 0.55) / 0.16) ** 2))
        light = 0.9 + 0.35 * mark - 0.2 * np.exp(-((6 * y) ** 2))
        level = 0.35 + 0.4 * rank[i] - 0.12 * y * y + 0.05 * x
        return channels(colours[i] * light[..., None], level, 0.5)

    stamp(canvas, where % 1.0, angle, reach, reach * 0.95, disc, shade)


def _sprinkle(canvas: FloatArray, rng: np.random.Generator, colour: Colour, leaf: bool) -> None:
    """Small flower heads, or fallen leaves, on top of the grass."""
    n = 12 if leaf else 26
    lengths = rng.uniform(0.05, 0.075, n) if leaf else rng.uniform(0.022, 0.032, n)
    widths = lengths * (rng.uniform(0.45, 0.6, n) if leaf else 1.0)
    tone = rng.normal(1, 0.18 if leaf else 0.05, n)
    base = np.asarray(colour, np.float32)

    def shade(x: FloatArray, y: FloatArray, i: NDArray[np.int64]) -> FloatArray:
        r2 = x * x + y * y
        light = tone[i] * (0.95 - 0.2 * np.exp(-((7 * y) ** 2)) if leaf else 0.85 + 0.15 * r2)
        level = (0.74 + 0.12 * y * y) if leaf else 0.86 - 0.1 * r2
        value = base * light[..., None]
        heart = np.zeros_like(r2) if leaf else smoothstep(0.22, 0.12, r2)
        value = value + (np.asarray((0.85, 0.62, 0.12)) - value) * heart[..., None]
        return channels(value, level, 0.6)

    def outline(x: FloatArray) -> FloatArray:
        return 1 - x * x if leaf else disc(x)

    stamp(canvas, rng.random((n, 2)), rng.uniform(0, 6.3, n), lengths, widths, outline, shade)


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """The maps of a style."""
    layout, tint, noise = branch(rng, 3)
    palette = [jittered(tint, c, 0.05) for c in PALETTES[style.colour]]
    patches, fine = spectral(noise, size, 2.2, 1, 8), spectral(noise, size, 0.9, 8, 48)
    bare = style.kind == "patchy"
    soil, level = mottled_soil(noise, size, (0.36, 0.27, 0.18) if bare else shaded(palette[0], 0.5))
    canvas = channels(soil, 0.08 + 0.2 * level, 0.92)
    if style.kind == "mossy":
        _moss(canvas, layout, palette, fine)
        turf(canvas, layout, 70, palette, length=0.07, width=0.012, top=0.85)
    elif style.kind == "clover":
        turf(canvas, layout, 90, palette, length=0.07)
        _clover(canvas, layout, palette)
    elif style.kind == "tall":
        turf(canvas, layout, 230, palette, length=0.15, width=0.017, lean=0.35, top=0.9)
    elif style.kind == "meadow":
        turf(canvas, layout, 340, palette, length=0.10, width=0.014, lean=1.3)
    else:
        short = style.kind == "mown striped"
        turf(canvas, layout, 420, palette, length=0.055 if short else 0.075, width=0.013, lean=0.9)
    if bare:
        gap = smoothstep(0.52, 0.66, patches * 0.8 + fine * 0.2)
        ground = channels(soil, 0.10 + 0.22 * level, 0.92)
        canvas = (canvas + (ground - canvas) * gap[..., None]).astype(np.float32)
    if style.kind == "mown striped":
        u, _ = coordinates(size)
        band = np.sin(2 * np.pi * 2 * u + layout.uniform(0, 6.3)) * 2
        canvas[..., :3] *= (1 + 0.22 * np.tanh(band))[..., None]
        canvas[..., 3] += 0.06 * np.tanh(band)
    if style.extra:
        _sprinkle(canvas, layout, jittered(tint, EXTRAS[style.extra]), "leaves" in style.extra)
    albedo = canvas[..., :3] * (0.88 + 0.24 * patches)[..., None]
    if style.colour == "frosty":
        frost = smoothstep(0.5, 0.8, canvas[..., 3] + 0.2 * (fine - 0.5))
        albedo = over(albedo, (0.88, 0.90, 0.92), 0.6 * frost)
    return finished("grass", style.caption, albedo, canvas[..., 3], canvas[..., 4])


def _moss(
    canvas: FloatArray, rng: np.random.Generator, palette: list[Colour], fine: FloatArray
) -> None:
    """Round cushions of moss, written over the canvas."""
    cushion = cells(rng, len(canvas), 70, jitter=0.9)
    dome = np.sqrt(smoothstep(0.0, 0.14, cushion.edge))
    tone = cushion.per_cell(rng)
    colour = np.asarray(palette)[(tone * len(palette)).astype(np.int64) % len(palette)]
    colour = colour * ((0.62 + 0.38 * dome) * (0.5 + 0.9 * fine))[..., None]
    canvas[...] = channels(colour, 0.28 + 0.25 * dome + 0.34 * (fine - 0.5), 0.95)
