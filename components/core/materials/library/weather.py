"""What weather and use do to a finished material: one adjective of the caption, one change.

States act by height (water and dust in hollows, snow on crests) and by large soft patches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from components.core.materials.library.motifs import blend, shaded, steady
from components.core.materials.material import FloatArray, Material
from components.core.materials.noise import blurred, ramp, smoothstep, spectral

Maps = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


def weather(material: Material, state: str, rng: np.random.Generator) -> Material:
    """The material wet, dusty, snowy ...; "" leaves it as it is. Its caption is the caller's."""
    if not state:
        return material
    maps = STATES[state](
        (material.albedo, material.height, material.roughness, material.metallic), rng
    )
    albedo = np.clip(maps[0], 0.02, 0.97).astype(np.float32)
    height, roughness, metallic = (np.clip(m, 0, 1).astype(np.float32) for m in maps[1:])
    return replace(material, albedo=albedo, height=height, roughness=roughness, metallic=metallic)


def _hollows(height: FloatArray) -> FloatArray:
    """1 in hollows and 0 on crests, by comparison with the surroundings."""
    return smoothstep(0.06, -0.10, height - blurred(height, 0.05))


def _wet(maps: Maps, rng: np.random.Generator) -> Maps:
    albedo, height, roughness, metallic = maps
    soaked = 0.45 + 0.55 * smoothstep(0.3, 0.6, steady(rng, height.shape[0], 4.0, 1.0))
    dark = np.power(albedo, 1.0 + 0.55 * soaked[..., None])
    return dark, height, roughness * (1 - 0.72 * soaked), metallic


def _dusty(maps: Maps, rng: np.random.Generator) -> Maps:
    albedo, height, roughness, metallic = maps
    patch = 0.6 * steady(rng, height.shape[0], 3.0, 1.5) + 0.6 * _hollows(height)
    dust = 0.75 * smoothstep(0.35, 0.9, patch)
    pale = blend(albedo, (0.68, 0.60, 0.49), dust)
    return pale, height + 0.02 * dust, roughness + dust * (0.95 - roughness), metallic * (1 - dust)


def _snowy(maps: Maps, rng: np.random.Generator) -> Maps:
    albedo, height, roughness, metallic = maps
    size = height.shape[0]
    level = 0.45 * steady(rng, size, 4.0, 1.5) + 0.4 * blurred(height, 0.015)
    snow = smoothstep(0.44, 0.51, level + 0.06 * spectral(rng, size, 1.5, 6.0))
    soft = blurred(snow, 0.012)
    white = blend(albedo, (0.90, 0.92, 0.95), snow)
    buried = height + 0.6 * snow * (blurred(height, 0.03) - height)
    return white, 0.9 * buried + 0.1 * soft, roughness + snow * (0.7 - roughness), metallic


def _frosty(maps: Maps, rng: np.random.Generator) -> Maps:
    albedo, height, roughness, metallic = maps
    grain = spectral(rng, height.shape[0], 0.8, 8.0)
    frost = 0.62 * smoothstep(0.3, 1.0, 0.5 * (1 - _hollows(height)) + 0.55 * grain)
    white = blend(albedo, (0.86, 0.90, 0.94), frost)
    return white, height, roughness + frost * (0.75 - roughness), metallic


def _mossy(maps: Maps, rng: np.random.Generator) -> Maps:
    albedo, height, roughness, metallic = maps
    size = height.shape[0]
    tuft = spectral(rng, size, 0.8, 10.0)
    damp = 0.6 * steady(rng, size, 3.4, 1.5) + 0.4 * _hollows(height) + 0.14 * (tuft - 0.5)
    moss = smoothstep(0.46, 0.56, damp)
    green = ramp(tuft, [(0.13, 0.20, 0.06), (0.27, 0.38, 0.10), (0.41, 0.49, 0.16)])
    grown = height + moss * (0.04 + 0.06 * (tuft - 0.5))
    return blend(albedo, green, 0.95 * moss), grown, roughness + moss * (0.95 - roughness), metallic


def _glossy(maps: Maps, rng: np.random.Generator) -> Maps:
    albedo, height, roughness, metallic = maps
    return albedo, height, 0.06 + 0.3 * roughness, metallic


def _worn(maps: Maps, rng: np.random.Generator) -> Maps:
    """Rubbed: paler, greyer and flatter where it is high, in patches."""
    albedo, height, roughness, metallic = maps
    rubbed = smoothstep(0.4, 0.7, steady(rng, height.shape[0], 3.2, 1.5))
    rubbed = rubbed * (1 - 0.7 * _hollows(height))
    grey = albedo.mean(axis=-1, keepdims=True)
    pale = 0.72 * (0.55 * albedo + 0.45 * grey) + 0.24
    low = height - 0.3 * rubbed * np.maximum(height - blurred(height, 0.03), 0)
    return blend(albedo, pale, 0.75 * rubbed), low, roughness + 0.15 * rubbed, metallic


def _aged(maps: Maps, rng: np.random.Generator) -> Maps:
    """Yellowed and foxed."""
    albedo, height, roughness, metallic = maps
    size = height.shape[0]
    stain = smoothstep(0.35, 0.8, steady(rng, size, 3.6, 1.0))
    spot = smoothstep(0.86, 0.95, steady(rng, size, 2.6, 6.0))
    tone = blend(albedo, albedo * np.array([0.94, 0.84, 0.66]), 0.35 + 0.65 * stain)
    return blend(tone, (0.45, 0.31, 0.17), 0.5 * spot), height, roughness + 0.05 * stain, metallic


def _speckled(maps: Maps, rng: np.random.Generator) -> Maps:
    """Salt and pepper, as in granite; not in the hollows."""
    albedo, height, roughness, metallic = maps
    dots = spectral(rng, height.shape[0], 0.4, 10.0)
    seen = 1 - _hollows(height)
    dark, pale = smoothstep(0.6, 0.85, dots) * seen, smoothstep(0.4, 0.15, dots) * seen
    spotted = blend(albedo, 0.45 * albedo, 0.75 * dark)
    return blend(spotted, 0.5 * spotted + 0.46, 0.55 * pale), height, roughness, metallic


def _dirty(maps: Maps, rng: np.random.Generator) -> Maps:
    """Grime in hollows and run marks; it covers metal."""
    albedo, height, roughness, metallic = maps
    size = height.shape[0]
    patch = 0.75 * steady(rng, size, 3.2, 1.5, None, (1.0, 0.35)) + 0.25 * _hollows(height)
    grime = 0.85 * smoothstep(0.45, 0.85, patch)
    soil = shaded(np.full_like(albedo, (0.24, 0.19, 0.14)), spectral(rng, size, 1.4, 4.0), 0.5)
    return (
        blend(albedo, soil, grime), height, roughness + grime * (0.9 - roughness),
        metallic * (1 - grime),
    )  # fmt: skip


STATES: dict[str, Callable[[Maps, np.random.Generator], Maps]] = {
    "wet": _wet,
    "dusty": _dusty,
    "snowy": _snowy,
    "frosty": _frosty,
    "mossy": _mossy,
    "glossy": _glossy,
    "polished": _glossy,
    "varnished": _glossy,
    "worn": _worn,
    "aged": _aged,
    "speckled": _speckled,
    "dirty": _dirty,
}
