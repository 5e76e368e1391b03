"""Flower heads as whorls of stamped petals around a stamped centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.core.materials.library.shapes import Colour, jittered
from components.core.materials.library.stamps import Points, channels, disc, stamp
from components.core.materials.material import FloatArray


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


def stamp_heads(
    canvas: FloatArray,
    rng: np.random.Generator,
    kind: str,
    where: Points,
    colour: Colour,
) -> None:
    """Stamp whole heads one after the other, so that a near head covers its neighbours."""
    radius, whorls = HEADS[kind][1:]
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
        light = (
            0.74 + 0.26 * (0.5 + 0.5 * np.clip(x, -1, 1)) - 0.10 * np.exp(-((4 * y) ** 2))
        ) * tone[i]
        cup = level[i] + 0.14 * x - 0.10 * y * y
        return channels(base * light[..., None], cup, 0.50 + 0.1 * y * y)

    mean_tip = float(tips.mean())
    shape = Whorl(1, 0, 0, 0, 0, 0, mean_tip)
    stamp(canvas, table[:, :2] % 1.0, table[:, 2], table[:, 3], table[:, 4], shape.outline, shade)


def stamp_centres(canvas: FloatArray, rng: np.random.Generator, kind: str, where: Points) -> None:
    if kind not in CENTRES:
        return
    share, colour = CENTRES[kind]
    radius = np.full(len(where), share * HEADS[kind][1])
    base = np.asarray(jittered(rng, colour), np.float32)

    def shade(x: FloatArray, y: FloatArray, i: NDArray[np.int64]) -> FloatArray:
        r2 = x * x + y * y
        dots = 0.5 + 0.5 * np.sin(14 * x) * np.sin(14 * y)
        light = 1.12 - 0.35 * r2 + 0.25 * (dots - 0.5)
        return channels(base * light[..., None], 0.82 - 0.16 * r2 + 0.05 * dots, 0.8)

    stamp(canvas, where, np.zeros(len(where)), radius, radius, disc, shade)
