"""Metal: bare metal with metallic 1; rust, paint and dirt lie on it with metallic 0.

Albedo of bare metal is its reflectance at normal incidence (steel, copper, gold ...).
"""

from __future__ import annotations

import numpy as np

from components.core.materials.library.motifs import (
    Colour,
    blend,
    finish,
    forks,
    pick,
    shaded,
    steady,
    streaks,
)
from components.core.materials.library.weather import weather
from components.core.materials.library.wording import Kinds, Wording
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import (
    cells,
    coordinates,
    normalise,
    ramp,
    smoothstep,
    spectral,
    warped,
)

METALS: dict[str, Colour] = {
    "steel": (0.66, 0.67, 0.69),
    "silver": (0.90, 0.89, 0.87),
    "copper": (0.90, 0.58, 0.44),
    "gold": (0.96, 0.79, 0.43),
    "bronze": (0.66, 0.47, 0.27),
    "dark iron": (0.38, 0.38, 0.39),
    "aluminium": (0.83, 0.84, 0.85),
    "blue titanium": (0.36, 0.46, 0.66),
}
PAINTS: dict[str, Colour] = {
    "red": (0.62, 0.12, 0.10),
    "blue": (0.14, 0.30, 0.54),
    "green": (0.16, 0.40, 0.26),
    "yellow": (0.84, 0.64, 0.12),
    "white": (0.84, 0.84, 0.82),
    "orange": (0.82, 0.38, 0.10),
}
RUST: list[Colour] = [
    (0.22, 0.11, 0.07),
    (0.42, 0.20, 0.10),
    (0.58, 0.30, 0.13),
    (0.68, 0.42, 0.20),
]
VERDIGRIS: list[Colour] = [(0.22, 0.42, 0.36), (0.36, 0.60, 0.52), (0.50, 0.70, 0.62)]
SHEETS = ("steel", "aluminium", "green painted", "red painted", "blue painted")
BARE = ("steel", "silver", "copper", "gold", "bronze", "dark iron", "aluminium", "blue titanium")
# Noise level above which rust, or verdigris, grows.
CORRODED = {"rusty": 0.46, "rusted": -0.1, "scratched": 0.86, "patina": 0.5}
KINDS: Kinds = {
    "brushed": ("brushed {} metal", BARE),
    "rusty": ("rusty {} metal plate", ("steel", "dark iron", "aluminium")),
    "rusted": ("heavily rusted {} metal sheet", ("brown iron", "orange iron")),
    "hammered": ("hammered {} metal", BARE),
    "diamond": ("{} diamond plate metal floor", ("steel", "aluminium", "dark iron", "bronze")),
    "corrugated": ("corrugated {} metal sheet", (*SHEETS, "rusty steel")),
    "scratched": ("scratched {} painted metal", tuple(PAINTS)),
    "panels": ("riveted {} metal panels", ("steel", "copper", "bronze", "dark iron", "aluminium")),
    "patina": ("{} metal with green patina", ("copper", "bronze")),
    "mesh": ("perforated {} metal grille", ("steel", "gold", "dark iron", "copper")),
}  # fmt: skip


class Style(Wording):
    """How the metal was worked and what it is."""

    kinds = KINDS


def describe(rng: np.random.Generator) -> Style:
    """Draw a style."""
    kind = pick(rng, tuple(KINDS))
    states = ("", "", "dirty") if "rust" in kind else ("", "", "polished", "dirty")
    return Style(kind, pick(rng, KINDS[kind][1]), pick(rng, states))


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """Relief, bare surface, then the coats of paint, rust or patina."""
    layout, coats, grain, after = forks(rng, 4)
    relief = _relief(style.kind, layout, size)
    fibres, cloud = streaks(grain, size, 14.0), steady(coats, size, 3.0, 1.5)
    brushed = 1.0 if style.kind == "brushed" else 0.3
    tone = METALS.get(style.colour, METALS["dark iron" if "iron" in style.colour else "steel"])
    albedo = shaded(shaded(_flat(tone, size), fibres, 0.16 * brushed), cloud, 0.14)
    base = {"hammered": 0.24, "scratched": 0.32}.get(style.kind, 0.34) + layout.uniform(-0.06, 0.08)
    roughness = base + 0.16 * brushed * (fibres - 0.5) + 0.16 * (cloud - 0.5)
    height = relief + 0.02 * brushed * (fibres - 0.5)
    metallic: FloatArray = np.ones((size, size), np.float32)
    if style.kind in ("diamond", "panels"):
        low = smoothstep(0.55, 0.25, relief)
        albedo, roughness = shaded(albedo, 1.0 - low, 0.5), roughness + 0.2 * low
    coat = PAINTS.get(style.colour.split()[0])
    if coat is not None and ("painted" in style.colour or style.kind == "scratched"):
        metallic = _wear(coats, size, 0.9 if style.kind == "corrugated" else 0.72)
        albedo = blend(shaded(_flat(coat, size), cloud, 0.16), albedo, metallic)
        roughness = metallic * roughness + (1 - metallic) * (0.32 + 0.1 * cloud)
        height = height + 0.03 * (1 - metallic)
    level = CORRODED.get(style.kind, 0.5 if "rusty" in style.colour else None)
    if level is not None:
        spread = 0.82 * cloud + 0.18 * spectral(grain, size, 1.4, 6.0)
        rust = smoothstep(level - 0.04, level + 0.08, spread)
        crust = spectral(grain, size, 1.2, 4.0)
        shade = np.clip(0.55 * crust + 0.6 * cloud - 0.1, 0, 1).astype(np.float32)
        albedo = blend(albedo, ramp(shade, _crust(style)), rust)
        height = height + rust * (0.02 + 0.10 * (crust - 0.5))
        roughness, metallic = roughness + rust * (0.86 - roughness), metallic * (1 - rust)
    if style.kind == "mesh":
        hole = smoothstep(0.4, 0.2, relief)
        albedo = blend(albedo, (0.05, 0.05, 0.05), hole)
        metallic, roughness = metallic * (1 - hole), roughness + 0.5 * hole
    metal = finish("metal", style.caption, albedo, height, roughness, metallic)
    return weather(metal, style.state, after)


def _flat(colour: Colour, size: int) -> FloatArray:
    return np.full((size, size, 3), colour, dtype=np.float32)


def _crust(style: Style) -> list[Colour]:
    """Colours of what grows on the metal, dark to pale."""
    if style.kind == "patina":
        return VERDIGRIS
    return {"orange iron": RUST[1:], "brown iron": RUST[:3]}.get(style.colour, RUST)


def _relief(kind: str, rng: np.random.Generator, size: int) -> FloatArray:
    """The worked shape, around 0.5."""
    u, v = coordinates(size)
    if kind == "hammered":
        dents = cells(rng, size, int(rng.integers(36, 80)), jitter=0.8)
        bowl = normalise(dents.f1**2, 0, 99.5)
        return (0.40 + 0.28 * np.sqrt(bowl)).astype(np.float32)
    if kind == "diamond":
        number = int(rng.integers(4, 7))
        x, y = u * number, v * number
        odd = (np.floor(x) + np.floor(y)) % 2
        a, b = x % 1 - 0.5, y % 1 - 0.5
        along, across = np.where(odd, a + b, a - b) * 0.7071, np.where(odd, a - b, a + b) * 0.7071
        bar = 1.0 - np.hypot(along / 0.46, across / 0.15).astype(np.float32)
        return (0.30 + 0.4 * smoothstep(0.0, 0.35, bar)).astype(np.float32)
    if kind == "corrugated":
        number = int(rng.integers(4, 8))
        return (0.5 + 0.42 * np.sin(2 * np.pi * number * u)).astype(np.float32)
    if kind == "panels":
        number = int(rng.integers(2, 4))
        x, y = u * number % 1, v * number % 1
        edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) / number
        seam = smoothstep(0.004, 0.012, edge)
        rivets = 4 * number
        du, dv = u * rivets % 1 - 0.5, v * rivets % 1 - 0.5
        rim = (np.minimum(x, 1 - x) < 0.2) | (np.minimum(y, 1 - y) < 0.2)
        dot = smoothstep(0.3, 0.2, np.hypot(du, dv).astype(np.float32)) * rim
        return (0.2 + 0.36 * seam + 0.3 * dot).astype(np.float32)
    if kind == "mesh":
        number = 2 * int(rng.integers(2, 4))
        x, y = u * number, v * number
        shifted = (x + 0.5 * (np.floor(y) % 2)) % 1 - 0.5
        radius = np.sqrt(shifted**2 + (y % 1 - 0.5) ** 2).astype(np.float32)
        return (0.62 * smoothstep(0.26, 0.36, radius) + 0.05).astype(np.float32)
    depth = 0.12 if kind in ("rusty", "rusted", "scratched") else 0.04
    return (0.5 + depth * (steady(rng, size, 5.1, 1.5) - 0.5)).astype(np.float32)


def _wear(rng: np.random.Generator, size: int, level: float) -> FloatArray:
    """Where paint is gone: chips and long scratches."""
    chips = 0.75 * steady(rng, size, 2.8, 2.0) + 0.25 * steady(rng, size, 1.0, 8.0)
    worn = smoothstep(level - 0.02, level + 0.03, chips)
    for _ in range(4):
        du, dv = (0.1 * (steady(rng, size, 5.1, 1.0) - 0.5) for _ in range(2))
        line = warped(streaks(rng, size, float(rng.uniform(14, 30))), du, dv)
        line = line if rng.random() < 0.5 else line.T
        worn = np.maximum(worn, smoothstep(level + 0.16, level + 0.22, line))
    return worn
