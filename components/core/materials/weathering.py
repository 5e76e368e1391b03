"""What time and use do to a procedural material: the difference between a swatch and a surface.

Micro-detail that breaks up smooth areas, dirt in the hollows, wear on raised edges, stains that
ran or dried, dust, fading. Each effect changes several maps together, as in nature: wet stains
are darker and glossier, dust is paler and rougher.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import blurred, smoothstep, spectral


def weathered(material: Material, rng: np.random.Generator) -> Material:
    """A used piece of the material, with random strengths of all effects; tiles as before."""
    strength = rng.uniform(0.5, 1.0)
    for effect in (micro_detail, uneven_colour, dirt, wear, stains, dust):
        material = effect(material, rng, strength)
    return material


def micro_detail(material: Material, rng: np.random.Generator, strength: float) -> Material:
    """Grain at the finest scales in height, colour and gloss, with a natural spectrum."""
    size = material.size[0]
    fine = spectral(rng, size, 1.2, size / 12) - 0.5
    speckle = spectral(rng, size, 0.6, size / 6) - 0.5
    gain = 1 + strength * (0.30 * fine + 0.22 * speckle)
    return _changed(
        material,
        albedo=material.albedo * gain[..., None],
        height=material.height + strength * (0.05 * fine + 0.02 * speckle),
        roughness=material.roughness + strength * 0.12 * (fine + speckle),
    )


def uneven_colour(material: Material, rng: np.random.Generator, strength: float) -> Material:
    """Slow drifts of lightness and tint over the surface: batches, fading, moisture."""
    size = material.size[0]
    light = spectral(rng, size, 2.4, 1, 6) - 0.5
    warm = spectral(rng, size, 2.4, 1, 5) - 0.5
    tint = np.stack([1 + 0.10 * warm, 1 + 0.02 * warm, 1 - 0.12 * warm], axis=-1)
    albedo = material.albedo * tint ** np.float32(strength)
    return _changed(material, albedo=albedo * (1 + 0.35 * strength * light)[..., None])


def dirt(material: Material, rng: np.random.Generator, strength: float) -> Material:
    """Dark brown deposits where the surface lies lower than its surroundings."""
    size = material.size[0]
    hollow = smoothstep(0.02, -0.12, material.height - blurred(material.height, 0.04))
    cover = hollow * smoothstep(0.25, 0.7, spectral(rng, size, 1.8, 2))
    cover = strength * rng.uniform(0.2, 0.7) * cover
    colour = np.array([0.23, 0.19, 0.15], np.float32) * rng.uniform(0.8, 1.3)
    return _covered(material, cover, colour, roughness=0.9)


def wear(material: Material, rng: np.random.Generator, strength: float) -> Material:
    """Raised edges are rubbed: paler, and polished or roughened."""
    size = material.size[0]
    raised = smoothstep(0.03, 0.14, material.height - blurred(material.height, 0.03))
    rubbed = raised * smoothstep(0.4, 0.75, spectral(rng, size, 1.4, 3))
    amount = (strength * rng.uniform(0.1, 0.45) * rubbed)[..., None]
    pale = material.albedo + (1 - material.albedo) * 0.35
    return _changed(
        material,
        albedo=material.albedo * (1 - amount) + pale * amount,
        height=material.height - 0.02 * rubbed * strength,
        roughness=material.roughness + rng.uniform(-0.2, 0.1) * rubbed * strength,
    )


def stains(material: Material, rng: np.random.Generator, strength: float) -> Material:
    """A few blots with darker rims, glossier where they are still damp."""
    size = material.size[0]
    field = spectral(rng, size, 2.6, 1.5)
    level = rng.uniform(0.62, 0.85)
    inside = smoothstep(level, level + 0.05, field)
    rim = smoothstep(0.05, 0.0, np.abs(field - level - 0.03)) * inside
    amount = strength * rng.uniform(0.05, 0.4) * (0.6 * inside + 0.4 * rim)
    tint = np.array([1.0, 0.93, 0.82], np.float32) * rng.uniform(0.5, 0.75)
    albedo = material.albedo * (1 - amount[..., None] * (1 - tint))
    damp = rng.uniform(-0.35, 0.1)
    return _changed(material, albedo=albedo, roughness=material.roughness + damp * amount)


def dust(material: Material, rng: np.random.Generator, strength: float) -> Material:
    """A thin pale layer on top, patchy, which also dulls gloss."""
    patches = spectral(rng, material.size[0], 1.6, 2)
    cover = strength * rng.uniform(0.0, 0.28) * smoothstep(0.35, 0.9, patches)
    colour = np.array([0.62, 0.58, 0.52], np.float32)
    return _covered(material, cover, colour, roughness=0.95)


def _covered(
    material: Material, cover: FloatArray, colour: FloatArray, roughness: float
) -> Material:
    """A non-metallic layer over a share (H, W) of the surface."""
    open_share = 1 - cover
    return _changed(
        material,
        albedo=material.albedo * open_share[..., None] + colour * cover[..., None],
        roughness=material.roughness * open_share + roughness * cover,
        metallic=material.metallic * open_share,
    )


def _changed(material: Material, **maps: NDArray[np.floating]) -> Material:
    low = {"roughness": 0.04}
    clipped = {
        name: np.clip(values, low.get(name, 0.0), 1.0).astype(np.float32)
        for name, values in maps.items()
    }
    return replace(
        material,
        albedo=clipped.get("albedo", material.albedo),
        height=clipped.get("height", material.height),
        roughness=clipped.get("roughness", material.roughness),
        metallic=clipped.get("metallic", material.metallic),
    )
