"""Paper: creases are the zero lines of smooth noise; sheets, print and tears are thin layers."""

from __future__ import annotations

import numpy as np
from scipy.spatial import Delaunay

from components.core.materials.library.motifs import (
    Colour,
    blend,
    finish,
    forks,
    pick,
    random_colours,
    shaded,
    stamp,
    steady,
)
from components.core.materials.library.weather import weather
from components.core.materials.library.wording import Kinds, Wording
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import (
    coordinates,
    mix,
    normalise,
    scatter,
    smoothstep,
    spectral,
)

COLOURS: dict[str, Colour] = {
    "white": (0.88, 0.88, 0.86),
    "cream": (0.88, 0.82, 0.68),
    "brown kraft": (0.66, 0.50, 0.34),
    "pink": (0.88, 0.60, 0.64),
    "blue": (0.42, 0.58, 0.76),
    "green": (0.50, 0.68, 0.46),
    "yellow": (0.92, 0.80, 0.36),
    "red": (0.72, 0.18, 0.16),
    "grey": (0.60, 0.60, 0.59),
    "black": (0.12, 0.12, 0.13),
}
ALL = tuple(COLOURS)
KINDS: Kinds = {
    "crumpled": ("crumpled {} paper", ALL),
    "cardboard": ("{} corrugated cardboard", ("brown kraft", "white", "grey", "red", "blue")),
    "lined": ("lined {} notebook paper", ("white", "cream", "yellow", "blue", "pink")),
    "squared": ("squared {} graph paper", ("white", "cream", "green", "blue")),
    "fibrous": ("rough handmade {} paper with fibres", ALL[:9]),
    "torn": ("torn layers of {} paper", ("white", "brown kraft", "pink", "blue", "mixed colour")),
    "folded": ("folded {} paper with sharp creases", ALL),
    "stained": ("old stained {} paper", ("cream", "white", "yellow", "brown kraft")),
    "printed": ("printed {} newspaper columns", ("white", "cream", "grey", "pink")),
}


class Style(Wording):
    """What was done with the sheet and its colour."""

    kinds = KINDS


def describe(rng: np.random.Generator) -> Style:
    """Draw a style."""
    kind = pick(rng, tuple(KINDS))
    states = ("", "", "aged", "worn") if kind != "stained" else ("", "worn", "dusty")
    return Style(kind, pick(rng, KINDS[kind][1]), pick(rng, states))


def paint(style: Style, rng: np.random.Generator, size: int) -> Material:
    """The sheet, then what its kind does to it."""
    layout, grain, after = forks(rng, 3)
    tone = np.asarray(COLOURS.get(style.colour, COLOURS["white"]), np.float32)
    pulp = spectral(grain, size, 0.8, 6.0)
    cloud = steady(layout, size, 4.6, 1.0)
    albedo = shaded(np.broadcast_to(tone, (size, size, 3)), 0.5 * pulp + 0.5 * cloud, 0.10)
    height = 0.5 + 0.012 * (pulp - 0.5) + 0.04 * (cloud - 0.5)
    roughness = 0.82 + 0.08 * (pulp - 0.5)
    if style.kind == "crumpled":
        height, albedo = _crumpled(layout, size, albedo, height)
    elif style.kind == "folded":
        height, albedo = _folded(layout, size, albedo, height)
    elif style.kind == "cardboard":
        height, albedo = _cardboard(layout, size, albedo, height)
    elif style.kind in ("lined", "squared"):
        albedo = _ruled(style.kind, layout, size, albedo)
    elif style.kind == "fibrous":
        height, albedo = _fibrous(layout, size, albedo, height)
    elif style.kind == "torn":
        albedo, height = _torn(style, layout, size, pulp)
    elif style.kind == "stained":
        stain = smoothstep(0.45, 0.62, steady(layout, size, 4.0, 1.5))
        rim = smoothstep(0.0, 0.5, stain) * smoothstep(1.0, 0.5, stain)
        albedo = blend(albedo, tone * np.array([0.80, 0.66, 0.46]), 0.55 * stain + 0.45 * rim)
        height = height + 0.10 * (_creases(layout, size, 20) - 0.5)
    else:
        albedo = _printed(layout, size, albedo)
    return weather(finish("paper", style.caption, albedo, height, roughness), style.state, after)


def _creases(rng: np.random.Generator, size: int, points: int) -> FloatArray:
    """Flat facets meeting in sharp folds: linear interpolation over a wrapped triangulation."""
    spots, levels = scatter(rng, points, 0.55 / points**0.5), rng.random(points)
    shifts = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    tiled = np.concatenate([spots + shift for shift in shifts])
    near = np.abs(tiled - 0.5).max(axis=1) < 0.5 + min(0.5, 2.5 / points**0.5)
    heights = np.tile(levels[: len(spots)], 9)
    tiled, heights = tiled[near], heights[near]
    corners = Delaunay(tiled).simplices
    out = np.full((size, size), 0.5, dtype=np.float32)
    # Scan conversion by hand: scipy's interpolator calls LAPACK once a triangle, which a
    # threaded BLAS on a busy machine makes a hundred times slower than the work itself.
    for xy, z in zip(tiled[corners] * size - 0.5, heights[corners], strict=True):
        first = np.maximum(np.ceil(xy.min(axis=0) - 1e-6).astype(int), 0)
        last = np.minimum(np.floor(xy.max(axis=0) + 1e-6).astype(int), size - 1)
        if (last < first).any():
            continue
        (x0, y0), (ax, ay), (bx, by) = xy[0], xy[1] - xy[0], xy[2] - xy[0]
        x = np.arange(first[0], last[0] + 1)[None, :] - x0
        y = np.arange(first[1], last[1] + 1)[:, None] - y0
        area = ax * by - ay * bx
        s, t = (x * by - y * bx) / area, (y * ax - x * ay) / area
        inside = (s >= -1e-6) & (t >= -1e-6) & (s + t <= 1 + 1e-6)
        window = out[first[1] : last[1] + 1, first[0] : last[0] + 1]
        window[inside] = (z[0] + s * (z[1] - z[0]) + t * (z[2] - z[0]))[inside]
    return out


def _crumpled(
    rng: np.random.Generator, size: int, albedo: FloatArray, height: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Large facets broken into small ones; the folds are rubbed pale."""
    large, small = int(rng.integers(14, 30)), int(rng.integers(70, 130))
    relief = normalise(_creases(rng, size, large) + 0.42 * _creases(rng, size, small), 0.2, 99.8)
    bend = np.abs(4 * relief - sum(np.roll(relief, s, a) for s in (1, -1) for a in (0, 1)))
    worn = smoothstep(0.02, 0.10, bend * size / 128)
    return 0.06 + 0.86 * relief + 0.2 * (height - 0.5), shaded(albedo, worn, 0.12)


def _folded(
    rng: np.random.Generator, size: int, albedo: FloatArray, height: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Accordion folds across the tile, some crossed by a second direction."""
    u, v = coordinates(size)
    a, b = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    kinds = [a * u + b * v, a * u - b * v, 2 * u, 2 * v]
    first, second = kinds[0], kinds[int(rng.integers(1, 4))]
    zigzag = [np.abs((w + rng.random()) % 1.0 - 0.5) * 2 for w in (first, second)]
    relief = 0.65 * zigzag[0] + 0.35 * zigzag[1]
    crest = np.maximum(*(smoothstep(0.06, 0.0, np.minimum(z, 1 - z)) for z in zigzag))
    return 0.05 + 0.9 * relief + 0.6 * (height - 0.5), shaded(albedo, crest, 0.16)


def _cardboard(
    rng: np.random.Generator, size: int, albedo: FloatArray, height: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The fluted core, with or without patches of the flat liner left on it."""
    u, _ = coordinates(size)
    number = int(rng.integers(7, 13))
    flute = 0.5 + 0.5 * np.sin(2 * np.pi * number * u)
    left = steady(rng, size, 4.0, 1.5) + 0.06 * (steady(rng, size, 1.0, 8.0) - 0.5)
    level = pick(rng, (0.55, 0.68, 2.0))
    liner = smoothstep(level, level + 0.03, left)
    rim = smoothstep(level - 0.07, level, left) * (1 - liner)
    core = shaded(albedo * np.array([0.92, 0.90, 0.86], np.float32), flute.astype(np.float32), 0.25)
    albedo = blend(blend(core, albedo * 1.18, rim), albedo, liner)
    relief = (1 - liner) * (0.28 + 0.34 * flute) + liner * 0.68
    return (relief + height - 0.5).astype(np.float32), albedo


def _ruled(kind: str, rng: np.random.Generator, size: int, albedo: FloatArray) -> FloatArray:
    u, v = coordinates(size)
    number = int(rng.integers(7, 11))
    ink = pick(rng, ((0.36, 0.50, 0.74), (0.42, 0.55, 0.62), (0.50, 0.48, 0.66)))
    half = max(0.006, 0.55 / size)
    lines = smoothstep(half * 1.7, half * 0.5, np.abs(v * number % 1 - 0.5) / number)
    if kind == "squared":
        lines = np.maximum(
            lines, smoothstep(half * 1.7, half * 0.5, np.abs(u * number % 1 - 0.5) / number)
        )
        return blend(albedo, ink, 0.75 * lines)
    albedo = blend(albedo, ink, 0.8 * lines)
    margin = smoothstep(half * 1.9, half * 0.6, np.abs(u - rng.uniform(0.12, 0.3)))
    return blend(albedo, (0.78, 0.26, 0.28), 0.8 * margin)


def _fibrous(
    rng: np.random.Generator, size: int, albedo: FloatArray, height: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Curved hairs of plant fibre pressed into the sheet."""
    fibre: FloatArray = np.zeros((size, size), np.float32)
    for _ in range(46):
        place = stamp(size, rng.random(2), rng.uniform(0, 6.3), rng.uniform(0.06, 0.16))
        bow = rng.uniform(-0.35, 0.35)
        line = 0.02 + 0.35 * place.pixel - np.abs(place.y - bow * (1 - place.x**2))
        cover = place.coverage(line) * (np.abs(place.x) < 1) * rng.uniform(0.4, 1.0)
        fibre[place.window] = np.maximum(fibre[place.window], cover)
    lumps = steady(rng, size, 1.6, 4.0)
    tint = pick(rng, ((0.45, 0.34, 0.20), (0.30, 0.26, 0.18), (0.94, 0.92, 0.86)))
    relief = height + 0.12 * (lumps - 0.5) + 0.08 * fibre
    return relief, blend(shaded(albedo, lumps, 0.12), tint, 0.7 * fibre)


def _torn(
    style: Style, rng: np.random.Generator, size: int, pulp: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Sheets on sheets; every tear shows a rim of white pulp."""
    palette = (
        list(COLOURS.values())[:8] if style.colour == "mixed colour" else [COLOURS[style.colour]]
    )
    tones = random_colours(rng, 6, palette, 0.16)
    albedo = np.broadcast_to(tones[0], (size, size, 3)).astype(np.float32)
    height: FloatArray = np.full((size, size), 0.35, np.float32)
    for k in range(1, 6):
        ragged = steady(rng, size, 4.8, 1.0) + 0.05 * (steady(rng, size, 0.8, 6.0) - 0.5)
        sheet = smoothstep(0.52, 0.535, ragged)
        rim = sheet * smoothstep(0.60, 0.56, ragged)
        tone = blend(tones[k], tones[k] * 0.35 + 0.60, rim)
        albedo = blend(albedo, tone, sheet)
        top = 0.35 + k * 0.07 + 0.08 * (ragged - 0.5)
        height = mix(height, top.astype(np.float32), sheet)
    return shaded(albedo, pulp, 0.06), height + 0.02 * (pulp - 0.5)


def _printed(rng: np.random.Generator, size: int, albedo: FloatArray) -> FloatArray:
    """Columns of dark words with a headline: type too small to read."""
    u, v = coordinates(size)
    columns, rows = int(rng.integers(2, 4)), int(rng.integers(14, 19))
    x, line = u * columns % 1.0, np.floor(v * rows).astype(int)
    column = np.floor(u * columns).astype(int)
    words = np.floor(x * 16).astype(int)
    text = (rng.random((rows, columns, 17)) < 0.82)[line, column, words]
    headline = (rng.random((rows, columns)) < 0.07)[line, column]
    margin = (x > 0.07) & (x < 0.93)
    half = np.where(headline, 0.42, 0.27)
    ink = smoothstep(0.0, 0.14, half - np.abs(v * rows % 1 - 0.5)) * margin * (text | headline)
    return blend(albedo, (0.16, 0.16, 0.17), ink * np.where(headline, 0.9, 0.62))
