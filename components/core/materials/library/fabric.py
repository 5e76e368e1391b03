"""Woven, knitted and pile fabrics: threads over and under, their colours and their wear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.core.materials.library.shapes import (
    Colour,
    branch,
    finished,
    jittered,
    over,
    shaded,
    solid,
)
from components.core.materials.library.weaves import stripes, weave
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import blurred, coordinates, mix, smoothstep, spectral

KINDS = (
    "plain weave linen", "twill cotton", "denim", "herringbone tweed", "tartan plaid", "knit wool",
    "velvet", "corduroy", "polka dot cotton", "striped canvas",
)  # fmt: skip
COLOURS: dict[str, Colour] = {
    "crimson": (0.62, 0.10, 0.14),
    "navy blue": (0.13, 0.18, 0.38),
    "sky blue": (0.45, 0.64, 0.82),
    "forest green": (0.16, 0.35, 0.22),
    "mustard": (0.80, 0.60, 0.20),
    "cream": (0.86, 0.80, 0.68),
    "grey": (0.48, 0.48, 0.50),
    "purple": (0.40, 0.20, 0.48),
    "orange": (0.82, 0.42, 0.16),
    "black": (0.13, 0.13, 0.15),
    "brown": (0.40, 0.27, 0.18),
}
STATES = ("clean", "faded", "coarse", "rumpled")
PALE: Colour = (0.86, 0.83, 0.77)


@dataclass(frozen=True)
class Style:
    """The words of a fabric."""

    kind: str
    colour: str
    state: str

    @property
    def caption(self) -> str:
        """For example "faded navy blue tartan plaid fabric"."""
        return f"{self.state} {self.colour} {self.kind} fabric"


def describe(rng: np.random.Generator) -> Style:
    """Draw a style."""
    kind, state = str(rng.choice(KINDS)), str(rng.choice(STATES))
    colour = str(rng.choice(list(COLOURS)))
    if kind == "denim":
        colour = str(rng.choice(["navy blue", "sky blue", "black", "grey"]))
    return Style(kind, colour, state)


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """The maps of a style."""
    layout, tint, noise = branch(rng, 3)
    colour = jittered(tint, COLOURS[style.colour], 0.05)
    folds, fuzz = spectral(noise, size, 3.0, 1, 6), spectral(noise, size, 0.6, 10, 48)
    amount = 0.010 if style.state in ("coarse", "rumpled") else 0.004
    slack = (
        (spectral(noise, size, 2.0, 3, 10) - 0.5) * amount * 2,
        (spectral(noise, size, 2.0, 3, 10) - 0.5) * amount * 2,
    )
    if style.kind in ("knit wool", "corduroy", "velvet"):
        albedo, relief, rough = _pile(style, colour, layout, size, (folds, fuzz), slack)
    else:
        albedo, relief, rough = _woven(style, colour, layout, size, fuzz, slack)
    wave = 0.40 if style.state == "rumpled" else 0.10
    height = 0.35 * (1 - wave) + relief * 0.45 + wave * folds + 0.05 * (fuzz - 0.5)
    albedo = albedo * (0.80 + 0.18 * fuzz + 0.08 * folds)[..., None]
    if style.state == "faded":
        grey = albedo.mean(-1, keepdims=True)
        worn = (0.45 + 0.4 * folds)[..., None]
        albedo = albedo + ((0.35 * grey + 0.42 + 0.2 * albedo) - albedo) * worn * 0.7
        rough = rough + 0.04
    return finished("fabric", style.caption, albedo, height, rough + 0.08 * (fuzz - 0.5))


def _woven(
    style: Style,
    colour: Colour,
    layout: np.random.Generator,
    size: int,
    fuzz: FloatArray,
    slack: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    u, v = coordinates(size)
    rules = {"denim": "denim", "herringbone tweed": "herringbone", "tartan plaid": "twill"}
    rule = rules.get(style.kind, "twill" if "twill" in style.kind else "plain")
    n = 24 if rule != "plain" else int(layout.choice([14, 16]))
    if style.state == "coarse":
        n = 16 if rule != "plain" else 12
    crown, up = weave(size, n, rule, slack)
    threads = layout.normal(0.0, 0.09 if style.state == "coarse" else 0.05, (2, n))
    i = np.floor((u + slack[0]) * n).astype(np.int64) % n
    j = np.floor((v + slack[1]) * n).astype(np.int64) % n
    uneven = np.where(up > 0.5, threads[0][i], threads[1][j]).astype(np.float32)

    base = solid(size, colour)
    dark = shaded(colour, 0.42) if sum(colour) > 0.7 else (0.55, 0.12, 0.12)
    if style.kind in ("denim", "herringbone tweed"):
        weft: Colour = PALE if sum(colour) < 2.0 else (0.35, 0.28, 0.22)
        mixed = (colour[0] * 0.3 + weft[0] * 0.7, colour[1] * 0.3 + weft[1] * 0.7)
        base = over(base, (*mixed, colour[2] * 0.3 + weft[2] * 0.7), 1 - up)
    elif style.kind == "tartan plaid":
        sett = layout.integers(2**63)  # one sequence for both directions, as in a real tartan
        columns = stripes(np.random.default_rng(sett), u, n)
        rows = stripes(np.random.default_rng(sett), v, n)
        shown = 0.5 + 0.5 * (up - 0.5)
        for which, band in ((1.0, dark), (2.0, PALE)):
            share = (columns == which) * shown + (rows == which) * (1 - shown)
            base = over(base, band, share.astype(np.float32))
    elif style.kind == "polka dot cotton":
        k = int(layout.integers(3, 6))
        first = np.hypot((u * k) % 1 - 0.5, (v * k) % 1 - 0.5)
        second = np.hypot((u * k + 0.5) % 1 - 0.5, (v * k + 0.5) % 1 - 0.5)
        spot = PALE if sum(colour) < 2.0 else (0.62, 0.14, 0.16)
        base = over(base, spot, smoothstep(0.26, 0.22, np.minimum(first, second)))
    elif style.kind == "striped canvas":
        k = int(layout.integers(3, 6))
        band = np.abs((u * k) % 1 - 0.5)
        pale = PALE if sum(colour) < 2.0 else (0.20, 0.28, 0.46)
        base = over(base, pale, smoothstep(0.27, 0.23, band))
    base = base * ((0.62 + 0.42 * crown) * (1 + uneven))[..., None]
    rough = mix(0.92, 0.78, crown) + 0.04 * fuzz
    return base, crown, rough


def _pile(
    style: Style,
    colour: Colour,
    layout: np.random.Generator,
    size: int,
    noises: tuple[FloatArray, FloatArray],
    slack: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Knit stitches, corduroy ribs or velvet nap: albedo, relief and roughness."""
    folds, fuzz = noises
    u, v = coordinates(size)
    if style.kind == "corduroy":
        n = int(layout.integers(6, 11))
        phase = ((u + 2 * slack[0]) * n) % 1 - 0.5
        rib = np.sqrt(np.clip(1 - (2.1 * phase) ** 2, 0, 1)).astype(np.float32)
        relief = rib * (0.85 + 0.3 * fuzz)
        return solid(size, colour) * (0.45 + 0.6 * rib)[..., None], relief, 0.95 - 0.12 * rib
    if style.kind == "knit wool":
        columns = int(layout.integers(5, 8))
        rows = columns + int(layout.integers(1, 3))
        x = ((u + slack[0]) * columns) % 1
        side = np.where(x < 0.5, -1.0, 1.0)
        local = (x % 0.5) * 4 - 1  # -1..1 across one leg of the V
        y = ((v + slack[1]) * rows + 0.55 * side * local * 0.5) % 1
        across, along = local, (y - 0.5) * 2
        r = np.hypot(across * 0.95, along * 0.92)
        leg = np.sqrt(np.clip(1 - r**2.5, 0, 1)).astype(np.float32)
        ply = 0.5 + 0.5 * np.sin(9.0 * along + 4.0 * side * across)
        albedo = solid(size, colour) * (0.35 + 0.58 * leg + 0.12 * ply * leg)[..., None]
        return albedo, leg * 1.05 + 0.08 * ply * leg, 0.95 - 0.08 * leg
    drape = blurred(folds, 0.06)
    brushed = np.sin(2 * np.pi * (u + v + 1.0 * drape))  # light where the nap leans
    nap = (0.5 + 0.5 * brushed).astype(np.float32)
    albedo = over(solid(size, shaded(colour, 0.70)), shaded(colour, 1.2), nap)
    return albedo, 0.40 * nap + 0.08 * fuzz + 0.35 * drape, 0.80 - 0.25 * nap
