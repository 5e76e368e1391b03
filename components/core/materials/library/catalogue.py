"""The way into the procedural library: draw a material or its caption."""

from __future__ import annotations

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


def sample(
    category: str,
    rng: np.random.Generator,
    size: int,
    pieces: int = 0,
    painting: np.random.Generator | None = None,
) -> Material:
    """Draw a style of the category and paint it at size × size pixels.

    painting: draws everything but the style's words, if given: another one gives another material
    of the same caption.

    With `pieces` > 0 a style exists in so many pieces only (the same bricks in the same places,
    in every colour and state), as if a quarry had so few slabs: a model of a few million
    parameters learns these forms in an hour of CPU time, where endless ones average to mud.
    """
    painter = PAINTERS[category]
    style = painter.describe(rng)
    if pieces > 0:
        piece = int(rng.integers(pieces))
        painting = np.random.default_rng([list(PAINTERS).index(category), piece])
    return painter.paint(style, painting or rng, size)


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
