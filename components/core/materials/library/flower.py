"""Flowers seen from above: heads built of stamped petals over leaves, grass or soil."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.core.materials.library.shapes import (
    Colour,
    Points,
    branch,
    channels,
    finished,
    jittered,
    shaded,
    stamp,
    turf,
)
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


@dataclass(frozen=True)
class Whorl:
    """One ring of petals of a head; lengths are shares of the head's radius."""

    petals: int
    centre: float
    length: float
    width: float
    tone: float
    level: float
    tip: float = 0.5

    def outline(self, x: FloatArray) -> FloatArray:
        """Half width along the petal: blunt at its tip for large `tip`."""
        return np.sqrt(np.clip(1 - x * x, 0, 1)) * (1 - self.tip + self.tip * (0.5 + 0.5 * x))


HEADS: dict[str, tuple[int, float, tuple[Whorl, ...]]] = {
    # Heads a tile when dense, their radius in tile units, and their whorls from the outside in.
    "daisy": (26, 0.105, (Whorl(11, 0.62, 0.40, 0.15, 1.0, 0.5, 0.6),)),
    "sunflower": (6, 0.24, (
        Whorl(17, 0.68, 0.34, 0.13, 0.82, 0.46, 0.1), Whorl(17, 0.60, 0.32, 0.12, 1.0, 0.56, 0.1),
    )),
    "rose": (10, 0.175, (
        Whorl(6, 0.62, 0.40, 0.46, 0.85, 0.42), Whorl(5, 0.46, 0.36, 0.42, 1.0, 0.52),
        Whorl(5, 0.30, 0.28, 0.32, 0.88, 0.64), Whorl(4, 0.16, 0.20, 0.22, 0.70, 0.72),
        Whorl(3, 0.07, 0.11, 0.12, 0.55, 0.70),
    )),
    "tulip": (13, 0.145, (
        Whorl(3, 0.50, 0.50, 0.42, 0.88, 0.55, 0.25), Whorl(3, 0.42, 0.44, 0.38, 1.0, 0.66, 0.2),
    )),
    "blossom": (26, 0.100, (Whorl(5, 0.54, 0.46, 0.36, 1.0, 0.55, 0.8),)),
    "poppy": (12, 0.155, (
        Whorl(3, 0.50, 0.50, 0.58, 0.86, 0.48, 0.8), Whorl(3, 0.44, 0.44, 0.50, 1.0, 0.58, 0.8),
    )),
    "cornflower": (20, 0.115, (
        Whorl(10, 0.66, 0.34, 0.20, 1.0, 0.50, 1.0), Whorl(7, 0.30, 0.24, 0.16, 0.75, 0.66, 0.9),
    )),
}  # fmt: skip
CENTRES: dict[str, tuple[float, Colour]] = {
    "daisy": (0.28, (0.88, 0.66, 0.10)),
    "sunflower": (0.42, (0.26, 0.15, 0.08)),
    "tulip": (0.13, (0.22, 0.20, 0.08)),
    "blossom": (0.17, (0.85, 0.62, 0.30)),
    "poppy": (0.22, (0.13, 0.12, 0.11)),
}


def _disc(x: FloatArray) -> FloatArray:
    return np.sqrt(np.clip(1 - x * x, 0, 1))


def _head(
    canvas: FloatArray,
    rng: np.random.Generator,
    style: Style,
    where: Points,
    colour: Colour,
) -> None:
    """Stamp whole heads one after the other, so that a near head covers its neighbours."""
    radius, whorls = HEADS[style.kind][1:]
    rows: list[tuple[float, ...]] = []
    outlines: list[Whorl] = []
    for u, v in where:
        size = radius * rng.uniform(0.82, 1.15)
        light, turn = rng.normal(1.0, 0.07), rng.uniform(0, 2 * np.pi)
        lift = rng.uniform(-0.06, 0.06)
        for number, w in enumerate(whorls):
            for k in range(w.petals):
                a = turn + number * 0.5 + (k + rng.normal(0, 0.08)) * 2 * np.pi / w.petals
                at = w.centre * size
                rows.append((
                    u + at * np.cos(a), v + at * np.sin(a), a, w.length * size, w.width * size,
                    w.tone * light * rng.normal(1, 0.04), w.level + lift,
                ))  # fmt: skip
                outlines.append(w)
    table = np.asarray(rows)
    tone, level = table[:, 5], table[:, 6]
    tips = np.asarray([w.tip for w in outlines])
    base = np.asarray(colour, np.float32)

    def shade(x: FloatArray, y: FloatArray, i: NDArray[np.int64]) -> FloatArray:
        light = (0.74 + 0.26 * smooth(x) - 0.10 * np.exp(-((4 * y) ** 2))) * tone[i]
        cup = level[i] + 0.14 * x - 0.10 * y * y
        return channels(np.clip(base * light[..., None], 0, 0.94), cup, 0.50 + 0.1 * y * y)

    mean_tip = float(tips.mean())
    shape = Whorl(1, 0, 0, 0, 0, 0, mean_tip)
    stamp(canvas, table[:, :2] % 1.0, table[:, 2], table[:, 3], table[:, 4], shape.outline, shade)


def smooth(x: FloatArray) -> FloatArray:
    """-1..1 to 0..1."""
    return np.clip(0.5 + 0.5 * x, 0, 1)


def _centres(canvas: FloatArray, rng: np.random.Generator, style: Style, where: Points) -> None:
    if style.kind not in CENTRES:
        return
    share, colour = CENTRES[style.kind]
    radius = np.full(len(where), share * HEADS[style.kind][1])
    base = np.asarray(jittered(rng, colour), np.float32)

    def shade(x: FloatArray, y: FloatArray, i: NDArray[np.int64]) -> FloatArray:
        r2 = x * x + y * y
        dots = 0.5 + 0.5 * np.sin(14 * x) * np.sin(14 * y)
        light = 1.12 - 0.35 * r2 + 0.25 * (dots - 0.5)
        return channels(base * light[..., None], 0.82 - 0.16 * r2 + 0.05 * dots, 0.8)

    stamp(canvas, where, np.zeros(len(where)), radius, radius, _disc, shade)


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
        light = table[:, 5][i] * (0.75 + 0.35 * smooth(x))
        level = table[:, 6][i] - 0.12 * y * y + 0.05 * x
        return channels(np.clip(base * light[..., None], 0, 0.92), level, 0.7)

    stamp(canvas, table[:, :2] % 1.0, table[:, 2], table[:, 3], table[:, 4], _disc, shade)


def _petals(canvas: FloatArray, rng: np.random.Generator, count: int, colour: Colour) -> None:
    """Fallen rose petals, cupped and overlapping."""
    lengths, angles = rng.uniform(0.07, 0.10, count), rng.uniform(0, 2 * np.pi, count)
    tone, rank = rng.normal(1, 0.13, count), np.linspace(0, 1, count)
    base = np.asarray(colour, np.float32)

    def shade(x: FloatArray, y: FloatArray, i: NDArray[np.int64]) -> FloatArray:
        r2 = x * x + y * y
        light = tone[i] * (0.80 + 0.12 * x + 0.14 * r2)
        level = 0.30 + 0.35 * rank[i] + 0.24 * r2 - 0.05 * x
        return channels(np.clip(base * light[..., None], 0, 0.94), level, 0.42 + 0.1 * r2)

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
        _head(canvas, layout, style, where, colour)
        _centres(canvas, layout, style, where)
    rough = canvas[..., 4] + 0.06 * (patches - 0.5)
    return finished("flower", style.caption, canvas[..., :3], canvas[..., 3], rough)
