"""Environment light prepared for real-time shading: what a browser needs to look like the renderer.

The split-sum approximation (Karis 2013, "Real Shading in Unreal Engine 4"): reflected light is the
environment blurred by the BSDF's lobe, times the lobe's own reflectance. `prefiltered` holds the
former for some roughnesses, `directional_albedo` the latter. GGX with alpha = roughness squared,
like the principled BSDF of the renderer.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.rendering.environments import Environment, FloatArray

ROUGHNESSES = (0.0, 0.2, 0.35, 0.5, 0.7, 1.0)
HEIGHT, WIDTH = 32, 64
TABLE = 32
SAMPLES = 256


def prefiltered(environment: Environment) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(mirror (h, w, 3), lobes (levels, HEIGHT, WIDTH, 3), irradiance (HEIGHT, WIDTH, 3)).

    Latitude-longitude as `Environment`. The mirror is the environment itself, the lobes are those
    of `ROUGHNESSES` after the first, with view, normal and reflection alike; the irradiance, over
    pi, is the radiance of a white diffuse surface facing that way.
    """
    # Each lobe is an average over the whole sphere: a quarter of the texels is enough for it.
    source = _halved(_halved(environment.radiance))
    towards, area = directions(*source.shape[:2])
    facing, _ = directions(HEIGHT, WIDTH)
    cosine = (facing.reshape(-1, 3) @ towards.reshape(-1, 3).T).astype(np.float32)
    light, area = source.reshape(-1, 3), area.reshape(-1)
    shape = (HEIGHT, WIDTH, 3)
    lobes = [
        _average(_lobe(cosine, roughness), area, light).reshape(shape)
        for roughness in ROUGHNESSES[1:]
    ]
    diffuse = _average(np.maximum(cosine, 0.0), area, light).reshape(shape)
    return environment.radiance, np.stack(lobes), diffuse


def _halved(radiance: FloatArray) -> FloatArray:
    high, wide = radiance.shape[0] // 2, radiance.shape[1] // 2
    blocks = radiance[: high * 2, : wide * 2].reshape(high, 2, wide, 2, 3)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def directions(height: int, width: int) -> tuple[FloatArray, FloatArray]:
    """Unit vectors (h, w, 3), y up, and solid angles (h, w) of texels centred in their cells."""
    polar = (np.arange(height) + 0.5) / height * np.pi
    azimuth = (np.arange(width) + 0.5) / width * 2 * np.pi
    theta, phi = np.meshgrid(polar, azimuth, indexing="ij")
    vectors = np.stack(
        [np.sin(theta) * np.cos(phi), np.cos(theta), np.sin(theta) * np.sin(phi)], axis=-1
    )
    area = np.sin(theta) * (np.pi / height) * (2 * np.pi / width)
    return vectors.astype(np.float32), area.astype(np.float32)


def _lobe(cosine: FloatArray, roughness: float) -> FloatArray:
    """The lobe of a surface seen head-on, n = v: D(h) G(l), exact there.

    With the half vector h, (n.h)^2 = (1 + n.l) / 2; G is Smith's, height-correlated, with n.v = 1.
    """
    squared_alpha = max(roughness, 0.05) ** 4
    density = 1 / ((1 + cosine) / 2 * (squared_alpha - 1) + 1) ** 2
    light = np.maximum(cosine, 0.0)
    shadow = 2 * light / (light + np.sqrt(squared_alpha + (1 - squared_alpha) * light**2))
    return np.asarray(density * shadow, np.float32)


def _average(weights: FloatArray, area: FloatArray, light: FloatArray) -> FloatArray:
    weighted = weights * area
    return np.asarray(weighted @ light / weighted.sum(axis=1, keepdims=True), np.float32)


@functools.cache
def directional_albedo(size: int = TABLE) -> FloatArray:
    """(size, size, 2): scale and offset of F0, rows by roughness, columns by n.v, at cell centres.

    F0 * scale + offset is the share of uniform light that the lobe reflects (height-correlated
    Smith shadowing, Schlick's Fresnel term), by integration over GGX's half vectors.
    """
    table = np.zeros((size, size, 2), np.float32)
    centres = (np.arange(size) + 0.5) / size
    for row, roughness in enumerate(centres):
        for column, view in enumerate(centres):
            table[row, column] = _reflectance(float(roughness) ** 2, float(view))
    return table


def _reflectance(alpha: float, view: float) -> NDArray[np.floating[Any]]:
    # A regular lattice over the unit square: GGX's half vectors by inversion.
    first = (np.arange(SAMPLES) + 0.5) / SAMPLES
    second = (np.arange(SAMPLES) * 0.6180339887498949) % 1.0
    cos_h = np.sqrt((1 - first) / (1 + (alpha**2 - 1) * first))
    sin_h = np.sqrt(np.maximum(0.0, 1 - cos_h**2))
    side = np.sqrt(1 - view**2)
    v_h = side * sin_h * np.cos(2 * np.pi * second) + view * cos_h
    n_l = 2 * v_h * cos_h - view
    seen = (n_l > 0) & (v_h > 0)
    v_h, n_l, cos_h = v_h[seen], n_l[seen], cos_h[seen]
    light = n_l * np.sqrt(view**2 * (1 - alpha**2) + alpha**2)
    away = view * np.sqrt(n_l**2 * (1 - alpha**2) + alpha**2)
    visible = 2 * n_l * v_h * view / ((light + away) * cos_h * view)
    fresnel = (1 - v_h) ** 5
    return np.array([(visible * (1 - fresnel)).sum(), (visible * fresnel).sum()]) / SAMPLES
