"""Stone: worked or laid stones (setts, slabs, ashlar, slate, walls) with their joints.

Every stone has an id; the joint mask comes from the distance to its border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.core.materials.library.motifs import (
    Colour,
    bends,
    blend,
    courses,
    domes,
    finish,
    forks,
    pick,
    random_colours,
    shaded,
    steady,
)
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import cells, coordinates, ramp, smoothstep, spectral

COLOURS: dict[str, list[Colour]] = {
    "grey": [(0.40, 0.40, 0.40), (0.50, 0.50, 0.49), (0.60, 0.59, 0.57)],
    "dark": [(0.17, 0.18, 0.19), (0.23, 0.24, 0.25), (0.30, 0.30, 0.31)],
    "sandy": [(0.70, 0.58, 0.41), (0.77, 0.66, 0.49), (0.62, 0.50, 0.34)],
    "reddish": [(0.52, 0.30, 0.23), (0.60, 0.37, 0.29), (0.46, 0.25, 0.20)],
    "blue": [(0.28, 0.34, 0.42), (0.36, 0.43, 0.50), (0.44, 0.50, 0.56)],
    "white": [(0.78, 0.77, 0.74), (0.84, 0.83, 0.80), (0.71, 0.70, 0.67)],
    "brown": [(0.40, 0.31, 0.23), (0.49, 0.39, 0.29), (0.33, 0.25, 0.19)],
    "green": [(0.33, 0.39, 0.32), (0.41, 0.47, 0.38), (0.27, 0.32, 0.27)],
    "multicoloured": [
        (0.46, 0.45, 0.43),
        (0.60, 0.47, 0.33),
        (0.50, 0.33, 0.27),
        (0.33, 0.36, 0.40),
    ],
}
KINDS = {
    "cobble": "{} cobblestone pavement",
    "flagstone": "irregular {} flagstone paving",
    "ashlar": "{} ashlar stone block wall",
    "slate": "stacked {} slate stone wall",
    "drystone": "{} dry stone wall",
    "slabs": "square {} stone paving slabs",
    "shingles": "{} slate stone roof shingles",
}
STATES = ("", "", "mossy", "worn")


@dataclass(frozen=True)
class Style:
    """How the stones are laid, their colour and state."""

    kind: str
    colour: str
    state: str

    @property
    def caption(self) -> str:
        """What a person would call it."""
        return f"{self.state} {KINDS[self.kind].format(self.colour)}".strip()


def describe(rng: np.random.Generator) -> Style:
    """Draw a style."""
    return Style(pick(rng, tuple(KINDS)), pick(rng, tuple(COLOURS)), pick(rng, STATES))


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """Stones by their kind, then joints, then moss."""
    layout, cover, grain = forks(rng, 3)
    profile, ids, count, joint = _laid(style.kind, layout, size)
    rough, cloud = spectral(grain, size, 1.4, 5.0), steady(cover, size, 4.0, 2.0)
    worn = style.state == "worn"
    lift = layout.random(count, dtype=np.float32)[ids]
    spread = {"drystone": 0.3, "slate": 0.4, "cobble": 0.16, "flagstone": 0.14}.get(
        style.kind, 0.08
    )
    uneven = {"drystone": 0.12, "slate": 0.14, "ashlar": 0.1}.get(style.kind, 0.08) * (
        0.5 if worn else 1.0
    )
    stone = (
        0.30
        + 0.42 * profile
        + spread * (lift - 0.3)
        + uneven * (rough - 0.5)
        + 0.06 * (cloud - 0.5)
    )
    gap = 0.10 if style.kind in ("drystone", "slate") else 0.22
    height = stone + joint * (gap + 0.06 * (rough - 0.5) - stone)
    tone = random_colours(layout, count, COLOURS[style.colour], 0.14)[ids]
    tone = shaded(shaded(tone, rough, 0.26), cloud, 0.22)
    filling = (
        (0.10, 0.09, 0.08)
        if style.kind in ("drystone", "slate", "shingles")
        else (0.40, 0.36, 0.31)
    )
    albedo = blend(
        tone,
        shaded(np.broadcast_to(np.asarray(filling, np.float32), tone.shape), rough, 0.4),
        joint,
    )
    roughness = (0.5 if worn else 0.78) + 0.14 * (rough - 0.5) + 0.15 * joint
    if style.state == "mossy":
        damp = 0.55 * cloud + 0.45 * joint + 0.2 * (rough - 0.5)
        moss = smoothstep(0.46, 0.56, damp)
        tuft = spectral(grain, size, 0.8, 10.0)
        green = ramp(tuft, [(0.13, 0.20, 0.06), (0.27, 0.38, 0.10), (0.40, 0.48, 0.16)])
        albedo = blend(albedo, green, 0.92 * moss)
        height = height + moss * (0.05 + 0.06 * (tuft - 0.5))
        roughness = roughness + moss * (0.95 - roughness)
    return finish("stone", style.caption, albedo, height, roughness)


def _laid(
    kind: str, rng: np.random.Generator, size: int
) -> tuple[FloatArray, np.ndarray[tuple[int, ...], np.dtype[np.int64]], int, FloatArray]:
    """(profile in [0, 1], stone ids, number of stones, joint mask)."""
    bend = bends(rng, size, 4.2, 2.0, 1.0)
    if kind == "flagstone":
        slabs = cells(
            rng, size, int(rng.integers(9, 16)), jitter=0.95, warp=(0.05 * bend).astype(np.float32)
        )
        return (
            domes(slabs.edge - 0.012, 0.03),
            slabs.ids,
            slabs.count,
            smoothstep(0.026, 0.012, slabs.edge),
        )
    if kind == "shingles":
        return _shingles(rng, size)
    layout = {
        "cobble": (int(rng.integers(6, 9)), int(rng.integers(5, 7)), 0.25, 0.035, 0.040, 0.009),
        "ashlar": (int(rng.integers(3, 6)), int(rng.integers(2, 4)), 0.35, 0.010, 0.022, 0.008),
        "slate": (int(rng.integers(9, 13)), int(rng.integers(3, 5)), 0.6, 0.025, 0.012, 0.002),
        "drystone": (int(rng.integers(4, 7)), int(rng.integers(3, 5)), 0.55, 0.07, 0.05, 0.006),
        "slabs": (int(rng.integers(2, 4)), 0, 0.0, 0.004, 0.016, 0.007),
    }
    rows, columns, irregular, sway, width, gap = layout[kind]
    blocks = courses(
        rng,
        size,
        rows,
        columns or rows,
        irregular=irregular,
        warp=(sway * bend[..., 0], sway * bend[..., 1]),
    )
    edge = blocks.edge
    if kind in ("cobble", "drystone"):
        # Round the corners: the product of the two distances falls faster there.
        x, y = np.minimum(blocks.x, 1 - blocks.x), np.minimum(blocks.y, 1 - blocks.y)
        round_off = (
            np.clip(0.34 - np.minimum(x, 0.34), 0, 1) ** 2
            + np.clip(0.34 - np.minimum(y, 0.34), 0, 1) ** 2
        )
        edge = (0.34 - np.sqrt(round_off)).astype(np.float32) / rows
    joint = smoothstep(gap * 1.8, gap * 0.7, edge)
    return domes(edge - gap, width), blocks.ids, blocks.count, joint


def _shingles(
    rng: np.random.Generator, size: int
) -> tuple[FloatArray, np.ndarray[tuple[int, ...], np.dtype[np.int64]], int, FloatArray]:
    """Roof slates: every course lies on the one below, thick at its lower edge."""
    rows, columns = 2 * int(rng.integers(2, 4)), int(rng.integers(4, 6))
    u, v = coordinates(size)
    row = np.floor(v * rows).astype(np.int64)
    along = (u * columns + 0.5 * (row % 2)) % columns
    column = np.floor(along).astype(np.int64)
    ids = row * columns + column
    x, y = along - column, v * rows - row
    ragged = 0.06 * rng.random((rows * columns, 1))[ids, 0]
    profile = np.clip(0.15 + 0.85 * (y + ragged), 0, 1)
    below = smoothstep(0.93, 0.97, y + ragged)
    side = smoothstep(0.05, 0.025, np.minimum(x, 1 - x))
    return profile.astype(np.float32), ids, rows * columns, np.maximum(side, below)
