"""Other pieces of a material (paper, section 4.1): hue, roughness, scale and wear, all moderate.

The caption stays true: a red brick stays red, so that one description has many materials.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import blurred, smoothstep, spectral
from components.core.materials.seam import tiles

Mask = NDArray[np.floating]

TURNABLE = frozenset(
    {"fabric", "flower", "granite", "ground", "leather", "leaves", "marble", "metal", "paper",
     "pebble", "rock", "stone"}
)  # fmt: skip
"""Categories that have no up and down: mirroring them top to bottom looks as real."""
HUE = np.deg2rad(3.5)
"""Deviation of the hue, twice of which is the most: red at 12 degrees already looks orange."""


def variation(material: Material, rng: np.random.Generator) -> Material:
    """Another piece of the same material; a seamless tile stays seamless.

    Shifts a tile and cuts a piece from what does not tile, mirrors, and changes hue, contrast,
    roughness and relief; dirt settles in hollows and patches, and what stands out bleaches and is
    worn smooth. Large tiles (256 pixels and more, as material sets bring) may be repeated twice,
    which halves the scale.
    """
    seamless = tiles(material)
    piece = _shifted(material, rng) if seamless else _cut(material, rng)
    maps = piece.maps()
    if rng.random() < 0.5:
        maps = {name: values[:, ::-1] for name, values in maps.items()}
    if material.category in TURNABLE and rng.random() < 0.5:
        maps = {name: values[::-1] for name, values in maps.items()}

    height = maps["height"]
    patches = spectral(rng, len(height), 2.4, 1, 8)
    rise = height - blurred(height, 0.03)
    dirt = rng.uniform(0.0, 0.28) * (0.6 * smoothstep(0.02, -0.10, rise) + 0.4 * patches)
    wear = rng.uniform(0.0, 0.25) * (0.6 * smoothstep(-0.02, 0.10, rise) + 0.4 * (1 - patches))
    middle = height.mean()
    relief = middle + (height - middle) * rng.uniform(0.8, 1.15)
    varied = replace(
        material,
        albedo=_recoloured(maps["albedo"], dirt, wear, rng),
        height=np.clip(relief, 0.0, 1.0).astype(np.float32),
        roughness=_roughened(maps["roughness"], dirt, wear, rng),
        metallic=np.ascontiguousarray(maps["metallic"]),
    )
    large = len(height) >= 256
    return _repeated(varied) if seamless and large and rng.random() < 0.3 else varied


def _recoloured(albedo: FloatArray, dirt: Mask, wear: Mask, rng: np.random.Generator) -> FloatArray:
    """Turned in hue, tinted, of other contrast; darker under dirt, pale where it is worn."""
    turned = albedo @ turn_of_hue(float(np.clip(rng.normal(0.0, HUE), -2 * HUE, 2 * HUE))).T
    tint = 1 + rng.normal(0.0, 0.05) + rng.normal(0.0, 0.012, 3)
    grey = turned.mean((0, 1))
    coloured = (grey + (turned - grey) * rng.uniform(0.9, 1.12)) * tint
    # Light takes the colour first, then the darkness.
    bleached = coloured + wear[..., None] * (
        0.5 * (coloured.mean(-1, keepdims=True) - coloured) + 0.3 * (1 - coloured)
    )
    return np.clip(bleached * (1 - dirt)[..., None], 0.0, 1.0).astype(np.float32)


def _roughened(
    roughness: FloatArray, dirt: Mask, wear: Mask, rng: np.random.Generator
) -> FloatArray:
    """Rougher or smoother as a whole and in its range; dirt dulls, wear polishes."""
    mean = roughness.mean()
    changed = mean + (roughness - mean) * rng.uniform(0.8, 1.25) + rng.normal(0.0, 0.06)
    changed = changed + 0.3 * dirt * (1 - roughness) - 0.4 * wear * roughness
    return np.clip(changed, 0.03, 1.0).astype(np.float32)


def turn_of_hue(angle: float) -> NDArray[np.float64]:
    """(3, 3) rotation of RGB around the grey axis: greys and the mean of the channels stay."""
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.cross(np.eye(3), axis)
    return (
        np.cos(angle) * np.eye(3)
        + np.sin(angle) * cross
        + (1 - np.cos(angle)) * np.outer(axis, axis)
    )


def _shifted(material: Material, rng: np.random.Generator) -> Material:
    rows, columns = material.size
    return material.rolled(int(rng.integers(rows)), int(rng.integers(columns)))


def _cut(material: Material, rng: np.random.Generator) -> Material:
    """A random square of at least two thirds of the side, at the material's own pixel size."""
    side = material.size[0]
    part = int(rng.integers(-(-2 * side // 3), side + 1))
    top, left = (int(rng.integers(side - part + 1)) for _ in range(2))
    window = np.s_[top : top + part, left : left + part]

    def cut(values: FloatArray) -> FloatArray:
        return np.ascontiguousarray(values[window])

    piece = replace(
        material,
        albedo=cut(material.albedo),
        height=cut(material.height),
        roughness=cut(material.roughness),
        metallic=cut(material.metallic),
    )
    return piece.resized(side)


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
