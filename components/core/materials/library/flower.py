"""Flowers seen from above: heads built of stamped petals over leaves, grass or soil."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.core.materials.library.blooms import HEADS, Whorl, stamp_centres, stamp_heads
from components.core.materials.library.shapes import Colour, branch, finished, jittered, shaded
from components.core.materials.library.stamps import channels, disc, stamp, turf
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import ramp, scatter, spectral

COLOURS: dict[str, Colour] = {
    "white": (0.89, 0.88, 0.85),
    "red": (0.78, 0.10, 0.12),
    "pink": (0.89, 0.52, 0.63),
    "yellow": (0.91, 0.76, 0.14),
    "orange": (0.90, 0.45, 0.10),
    "purple": (0.50, 0.26, 0.66),
    "blue": (0.30, 0.40, 0.80),
}
KINDS: dict[str, tuple[str, ...]] = {
    "daisy": ("white", "yellow", "pink", "purple"),
    "sunflower": ("yellow", "orange"),
    "rose": ("red", "pink", "white", "yellow", "orange"),
    "tulip": ("red", "yellow", "pink", "purple", "orange", "white"),
    "lavender": ("purple", "blue"),
    "blossom": ("pink", "white"),
    "poppy": ("red", "orange", "yellow"),
    "rose petal": ("red", "pink", "white", "yellow"),
    "cornflower": ("blue", "purple"),
}
GROUNDS: dict[str, tuple[Colour, Colour]] = {
    "green grass": ((0.20, 0.36, 0.11), (0.34, 0.50, 0.17)),
    "dark leaves": ((0.10, 0.22, 0.10), (0.18, 0.34, 0.15)),
    "dry grass": ((0.48, 0.40, 0.20), (0.66, 0.57, 0.32)),
}
DENSITIES = ("scattered", "dense", "blooming")


@dataclass(frozen=True)
class Style:
    """The words of a flower bed."""

    kind: str
    colour: str
    ground: str
    density: str

    @property
    def caption(self) -> str:
        """For example "dense white daisy flowers on green grass"."""
        return f"{self.density} {self.colour} {self.kind} flowers on {self.ground}"


def describe(rng: np.random.Generator) -> Style:
    """Draw a style whose colour suits the flower."""
    kind = str(rng.choice(list(KINDS)))
    colour = str(rng.choice(KINDS[kind]))
    return Style(kind, colour, str(rng.choice(list(GROUNDS))), str(rng.choice(DENSITIES)))


def _spikes(canvas: FloatArray, rng: np.random.Generator, count: int, colour: Colour) -> None:
    """Lavender: upright spikes of small buds in pairs on a grey-green stem."""
    turf(canvas, rng, 60, [(0.38, 0.46, 0.32)], length=0.12, lean=0.2, top=0.5)
    rows: list[tuple[float, ...]] = []
    for u, v in rng.random((count, 2)):
        lean, reach = rng.normal(0, 0.15), rng.uniform(0.16, 0.26)
        light = rng.normal(1, 0.12)
        for k in range(14):
            t = k / 13
            side = (-1) ** k
            wide = 0.020 * (1 - 0.5 * abs(2 * t - 0.8))
            rows.append((
                u + np.sin(lean) * reach * t + side * wide, v - reach * t,
                -np.pi / 2 + lean + side * 0.6, 0.024 * (1.1 - 0.4 * t), 0.013,
                light * rng.normal(1, 0.12) * (0.8 + 0.35 * t), 0.5 + 0.3 * t,
            ))  # fmt: skip
    table = np.asarray(rows)
    base = np.asarray(colour, np.float32)

    def shade(x: FloatArray, y: FloatArray, i: NDArray[np.int64]) -> FloatArray:
        light = table[:, 5][i] * (0.75 + 0.35 * (0.5 + 0.5 * np.clip(x, -1, 1)))
        level = table[:, 6][i] - 0.12 * y * y + 0.05 * x
        return channels(base * light[..., None], level, 0.7)

    stamp(canvas, table[:, :2] % 1.0, table[:, 2], table[:, 3], table[:, 4], disc, shade)


def _petals(canvas: FloatArray, rng: np.random.Generator, count: int, colour: Colour) -> None:
    """Fallen rose petals, cupped and overlapping."""
    lengths, angles = rng.uniform(0.07, 0.10, count), rng.uniform(0, 2 * np.pi, count)
    tone, rank = rng.normal(1, 0.13, count), np.linspace(0, 1, count)
    base = np.asarray(colour, np.float32)

    def shade(x: FloatArray, y: FloatArray, i: NDArray[np.int64]) -> FloatArray:
        r2 = x * x + y * y
        light = tone[i] * (0.80 + 0.12 * x + 0.14 * r2)
        level = 0.30 + 0.35 * rank[i] + 0.24 * r2 - 0.05 * x
        return channels(base * light[..., None], level, 0.42 + 0.1 * r2)

    shape = Whorl(1, 0, 0, 0, 0, 0, 0.45)
    stamp(canvas, rng.random((count, 2)), angles, lengths, lengths * 0.95, shape.outline, shade)


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """The maps of a style."""
    layout, tint, noise = branch(rng, 3)
    dark, light = (jittered(tint, c) for c in GROUNDS[style.ground])
    patches = spectral(noise, size, 1.4, 4, 32)
    canvas = channels(ramp(patches, [shaded(dark, 0.5), dark]), 0.10 + 0.15 * patches, 0.85)
    leafy = style.ground == "dark leaves"
    turf(
        canvas, layout, 90 if leafy else 170, [dark, light], length=0.085,
        width=0.032 if leafy else 0.014, lean=2.0 if leafy else 0.8, base=0.12, top=0.40,
        roughness=0.45 if leafy else 0.7,
    )  # fmt: skip
    colour = jittered(tint, COLOURS[style.colour], 0.03)
    share = {"scattered": 0.45, "dense": 1.15, "blooming": 0.8}[style.density]
    if style.kind == "lavender":
        _spikes(canvas, layout, round(30 * share), colour)
    elif style.kind == "rose petal":
        _petals(canvas, layout, round(85 * share), colour)
    else:
        full, radius, _ = HEADS[style.kind]
        where = scatter(layout, max(3, round(full * share)), 1.15 * radius, tries=30)
        stamp_heads(canvas, layout, style.kind, where, colour)
        stamp_centres(canvas, layout, style.kind, where)
    rough = canvas[..., 4] + 0.06 * (patches - 0.5)
    return finished("flower", style.caption, canvas[..., :3], canvas[..., 3], rough)
