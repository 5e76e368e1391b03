"""The way into the procedural library: draw a material, its caption, or a variation of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from components.core.materials.library import (
    brick,
    ceramic,
    fabric,
    flower,
    granite,
    grass,
    ground,
    leather,
    leaves,
    marble,
    metal,
    paper,
    pebble,
    rock,
    stone,
    wood,
)
from components.core.materials.material import Material
from components.core.materials.noise import blurred, smoothstep, spectral


class Painter(Protocol):
    """What a category's module offers; a style carries its words as `caption`."""

    def describe(self, rng: np.random.Generator) -> Any:
        """Draw a style."""

    def paint(self, style: Any, rng: np.random.Generator, size: int) -> Material:
        """The maps of a style."""


PAINTERS: dict[str, Painter] = {
    "brick": brick,
    "ceramic": ceramic,
    "fabric": fabric,
    "flower": flower,
    "granite": granite,
    "grass": grass,
    "ground": ground,
    "leather": leather,
    "leaves": leaves,
    "marble": marble,
    "metal": metal,
    "paper": paper,
    "pebble": pebble,
    "rock": rock,
    "stone": stone,
    "wood": wood,
}
TURNABLE = frozenset(
    {"fabric", "flower", "granite", "ground", "leather", "leaves", "marble", "metal", "paper",
     "pebble", "rock", "stone"}
)  # fmt: skip
"""Categories that have no up and down: mirroring them top to bottom looks as real."""


def sample(category: str, rng: np.random.Generator, size: int, pieces: int = 0) -> Material:
    """Draw a style of the category and paint it at size × size pixels.

    With `pieces` > 0 a style exists in so many pieces only (the same bricks in the same places,
    in every colour and state), as if a quarry had so few slabs: a model of a few million
    parameters learns these forms in an hour of CPU time, where endless ones average to mud.
    """
    painter = PAINTERS[category]
    style = painter.describe(rng)
    if pieces > 0:
        piece = int(rng.integers(pieces))
        rng = np.random.default_rng([list(PAINTERS).index(category), piece])
    return painter.paint(style, rng, size)


def captions(category: str, rng: np.random.Generator, n: int) -> list[str]:
    """n distinct captions of the category; ValueError if its grammar has not that many."""
    painter = PAINTERS[category]
    found: dict[str, None] = {}
    stale = 0
    while len(found) < n and stale < 800:  # draws in a row which brought nothing new
        before = len(found)
        found[str(painter.describe(rng).caption)] = None
        stale = 0 if len(found) > before else stale + 1
    if len(found) < n:
        raise ValueError(f"{category} has no {n} distinct captions, only about {len(found)}")
    return list(found)


def variation(material: Material, rng: np.random.Generator) -> Material:
    """Another piece of the same material: the caption stays true and the tile stays seamless.

    Shifts and mirrors the tile, changes tint, contrast and roughness a little, deepens or flattens
    the relief and lets some dirt or bleaching settle by height. Large maps (256 pixels and more,
    as material sets bring) may be repeated twice, which halves the scale.
    """
    rows, columns = material.size
    piece = material.rolled(int(rng.integers(rows)), int(rng.integers(columns)))
    maps = piece.maps()
    if rng.random() < 0.5:
        maps = {name: values[:, ::-1] for name, values in maps.items()}
    if material.category in TURNABLE and rng.random() < 0.5:
        maps = {name: values[::-1] for name, values in maps.items()}
    repeat = 2 if rows >= 256 and rng.random() < 0.3 else 1

    albedo, height, rough = maps["albedo"], maps["height"], maps["roughness"]
    tint = 1 + rng.normal(0.0, 0.05) + rng.normal(0.0, 0.012, 3)
    grey = albedo.mean((0, 1))
    contrast = rng.uniform(0.9, 1.12)
    patches = spectral(rng, rows, 2.4, 1, 8)
    hollow = smoothstep(0.02, -0.10, height - blurred(height, 0.03))
    dirt = rng.uniform(0.0, 0.28) * (0.6 * hollow + 0.4 * patches)
    coloured = (grey + (albedo - grey) * contrast) * tint * (1 - dirt)[..., None]
    dulled = rough + rng.normal(0.0, 0.04) + 0.3 * dirt * (1 - rough)
    middle = height.mean()
    relief = middle + (height - middle) * rng.uniform(0.8, 1.15)
    varied = replace(
        material,
        albedo=np.clip(coloured, 0.0, 1.0).astype(np.float32),
        height=np.clip(relief, 0.0, 1.0).astype(np.float32),
        roughness=np.clip(dulled, 0.03, 1.0).astype(np.float32),
        metallic=np.ascontiguousarray(maps["metallic"]),
    )
    return varied if repeat == 1 else _repeated(varied)


def _repeated(material: Material) -> Material:
    """The tile twice in each direction at its own pixel size."""
    half = material.resized(material.size[0] // 2)
    return replace(
        half,
        albedo=np.tile(half.albedo, (2, 2, 1)),
        height=np.tile(half.height, (2, 2)),
        roughness=np.tile(half.roughness, (2, 2)),
        metallic=np.tile(half.metallic, (2, 2)),
    )
