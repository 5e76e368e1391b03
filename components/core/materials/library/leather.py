"""Leather: pebbled, smooth, quilted, crocodile, woven and stitched hides, and suede."""

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
    shaded,
    solid,
)
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import cells, coordinates, mix, smoothstep, spectral

KINDS = (
    "pebbled", "smooth", "quilted", "crocodile", "woven strip", "stitched patchwork", "suede",
    "perforated",
)  # fmt: skip
COLOURS: dict[str, Colour] = {
    "tan": (0.68, 0.46, 0.28),
    "dark brown": (0.27, 0.17, 0.12),
    "chestnut": (0.46, 0.23, 0.13),
    "black": (0.12, 0.12, 0.13),
    "red": (0.55, 0.11, 0.11),
    "navy blue": (0.14, 0.19, 0.34),
    "olive green": (0.34, 0.35, 0.19),
    "cream": (0.83, 0.76, 0.64),
    "grey": (0.46, 0.46, 0.46),
    "burgundy": (0.36, 0.09, 0.13),
}
STATES = ("new", "glossy", "worn", "cracked", "creased")
THREAD: Colour = (0.84, 0.78, 0.65)


@dataclass(frozen=True)
class Style:
    """The words of a leather."""

    kind: str
    colour: str
    state: str

    @property
    def caption(self) -> str:
        """For example "worn dark brown quilted leather"."""
        return f"{self.state} {self.colour} {self.kind} leather"


def describe(rng: np.random.Generator) -> Style:
    """Draw a style; suede has no gloss."""
    kind, colour = str(rng.choice(KINDS)), str(rng.choice(list(COLOURS)))
    states = [s for s in STATES if kind != "suede" or s not in ("glossy", "cracked")]
    return Style(kind, colour, str(rng.choice(states)))


@dataclass(frozen=True)
class Hide:
    """What a pattern gives: relief in [0, 1], dark grooves, and where thread shows."""

    relief: FloatArray
    groove: FloatArray
    thread: FloatArray
    tone: FloatArray


def _pattern(kind: str, rng: np.random.Generator, noise: np.random.Generator, size: int) -> Hide:
    u, v = coordinates(size)
    none = np.zeros((size, size), np.float32)
    grain = cells(rng, size, 420 if kind != "pebbled" else int(rng.integers(130, 330)), jitter=0.8)
    pebble = smoothstep(0.0, 0.05 if kind == "pebbled" else 0.03, grain.edge)
    bumps = 0.12 * pebble
    if kind == "pebbled":
        pebble = np.sqrt(smoothstep(0.0, 0.09, grain.edge))
        return Hide(pebble * (0.8 + 0.2 * grain.per_cell(rng)), 0.8 * (1 - pebble), none, none)
    if kind == "quilted":
        n = int(rng.integers(2, 5))
        p, q = (u + v) * n, (u - v) * n
        a, b = np.abs(p - np.round(p)), np.abs(q - np.round(q))
        puff = np.sqrt(np.clip(2 * np.minimum(a, b), 0, 1))
        seam = smoothstep(0.07, 0.02, np.minimum(a, b) * 4 / n)
        dash = np.where(a < b, q, p) * round(20 / n) % 1.0
        thread = smoothstep(0.028, 0.016, np.minimum(a, b) / n * 1.2) * (dash < 0.6)
        return Hide(puff * 0.95 + 0.5 * bumps, seam, thread.astype(np.float32), none)
    if kind == "crocodile":
        warp = displacement(noise, size, 2.0, 2, 8, 0.05)
        scale = cells(rng, size, int(rng.integers(28, 50)), jitter=0.45, aspect=1.5, warp=warp)
        plate = np.sqrt(smoothstep(0.0, 0.11, scale.edge))
        return Hide(plate * 0.9 + 0.3 * bumps, smoothstep(0.035, 0.0, scale.edge), none,
                    scale.per_cell(rng) - 0.5)  # fmt: skip
    if kind == "woven strip":
        n = int(rng.choice([4, 6, 8]))
        i, j = np.floor(u * n), np.floor(v * n)
        up = (i + j) % 2 == 0
        p, q = u * n - i - 0.5, v * n - j - 0.5
        across, along = np.where(up, p, q), np.where(up, q, p)
        strip = smoothstep(0.5, 0.36, np.abs(across)) * (0.55 + 0.45 * np.cos(np.pi * along))
        gap = smoothstep(0.40, 0.48, np.abs(across))
        return Hide(strip + 0.4 * bumps, gap, none, np.where(up, 0.12, -0.12).astype(np.float32))
    if kind == "stitched patchwork":
        tiles = courses(size, 2, 2, shift=float(rng.choice([0.0, 0.5])))
        seam = smoothstep(0.016, 0.006, tiles.edge)
        pad = smoothstep(0.0, 0.10, tiles.edge)
        line = smoothstep(0.013, 0.007, np.abs(tiles.edge - 0.042))
        across = np.where(1 - np.abs(tiles.x) < 1 - np.abs(tiles.y), tiles.y, tiles.x)
        thread = line * (across * 4.5 % 1.0 < 0.62)
        return Hide(pad * 0.8 + bumps - 0.15 * line, np.maximum(seam, 0.5 * line),
                    thread.astype(np.float32), tiles.per_tile(rng) - 0.5)  # fmt: skip
    if kind == "perforated":
        n = int(rng.integers(8, 12))
        hole = smoothstep(0.30, 0.20, np.hypot(u * n % 1 - 0.5, v * n % 1 - 0.5))
        return Hide(0.75 - 0.75 * hole + bumps, hole, none, none)
    if kind == "suede":
        nap = spectral(noise, size, 0.9, 6, 48, (1.0, 1.0))
        return Hide(0.35 + 0.3 * nap, none, none, 0.5 * (spectral(noise, size, 2.6, 1, 8) - 0.5))
    return Hide(0.4 + bumps, 0.35 * (1 - pebble), none, none)


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """The maps of a style."""
    layout, tint, noise = branch(rng, 3)
    colour = jittered(tint, COLOURS[style.colour], 0.05)
    hide = _pattern(style.kind, layout, noise, size)
    patches, fine = spectral(noise, size, 2.4, 1, 10), spectral(noise, size, 1.0, 8, 40)
    suede = style.kind == "suede"

    albedo = solid(size, colour) * (0.84 + 0.24 * patches + 0.10 * (fine - 0.5))[..., None]
    albedo = albedo * (1 + 0.35 * hide.tone)[..., None]
    albedo = over(albedo, shaded(colour, 0.42), 0.85 * hide.groove)
    height = 0.22 + 0.48 * hide.relief + 0.10 * (patches - 0.5) + 0.03 * (fine - 0.5)
    base = {"glossy": 0.20, "new": 0.38}.get(style.state, 0.48)
    rough = (0.90 if suede else base) + 0.10 * (fine - 0.5) + 0.18 * hide.groove
    high = smoothstep(0.45, 0.75, height)

    if style.state == "worn":  # rubbed pale and smooth on the high places
        rub = smoothstep(0.40, 0.75, 0.6 * patches + 0.4 * high)
        pale: Colour = (colour[0] * 0.5 + 0.38, colour[1] * 0.5 + 0.31, colour[2] * 0.5 + 0.24)
        albedo = over(albedo, pale, 0.65 * rub)
        rough = rough + 0.22 * rub * (1 - suede)
        height = height - 0.03 * rub
    if style.state in ("creased", "cracked"):
        sharp = style.state == "cracked"
        wave = (
            spectral(noise, size, 1.6, 4, 9)
            if sharp
            else spectral(noise, size, 1.4, 3, 7, (1.0, 2.2))
        )
        crest = 1 - np.abs(2 * wave - 1)
        crease = smoothstep(0.90, 0.98, crest) if sharp else smoothstep(0.70, 0.98, crest)
        inside = shaded(colour, 0.45) if sum(colour) > 0.9 else (0.42, 0.32, 0.24)
        albedo = over(albedo, inside, (0.65 if sharp else 0.30) * crease)
        height = height - (0.12 if sharp else 0.10) * crease
        rough = mix(rough, 0.75, 0.7 * crease)
    albedo = over(albedo, THREAD, hide.thread)
    height = height + 0.12 * hide.thread
    rough = mix(rough, 0.8, hide.thread)
    return finished("leather", style.caption, albedo, height, rough)
