"""The response of a hand-held camera to scene radiance: from linear light to an 8-bit picture.

In the order in which a camera does it: exposure and white balance that are nearly right, light
fall-off towards the corners, a lens that is not perfectly sharp, shot and read noise, a tone curve
with a shoulder, sharpening.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from components.core.rendering.color import linear_to_srgb

FloatArray = NDArray[np.float32]


def photographed(radiance: FloatArray, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An 8-bit sRGB picture of linear radiance (h, w, 3), with random camera settings."""
    light = _exposed(radiance, rng) * _vignette(radiance.shape[0], rng)[..., None]
    light = gaussian_filter(light, (rng.uniform(0.15, 0.4),) * 2 + (0,), mode="nearest")
    light = _noisy(light, rng)
    picture = linear_to_srgb(_tone_curve(light, rng.uniform(2.5, 6.0)))
    picture = _sharpened(picture, rng.uniform(0.3, 0.8))
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _exposed(radiance: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Metered on the mean as automatic cameras do, in part, with an error of a quarter stop."""
    luminance = float(radiance.mean())
    meter = (0.22 / max(luminance, 1e-3)) ** 0.45
    stops = 2.0 ** rng.normal(0, 0.25)
    warmth = rng.normal(0, 0.035)
    balance = np.array([1 + warmth, 1 + rng.normal(0, 0.01), 1 - warmth])
    return (radiance * (meter * stops) * balance).astype(np.float32)


def _vignette(size: int, rng: np.random.Generator) -> FloatArray:
    """cos^4-like fall-off around a centre that is slightly off, up to 25 % in the corners."""
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size - 0.5
    radius = (x - rng.normal(0, 0.05)) ** 2 + (y - rng.normal(0, 0.05)) ** 2
    return (1 - rng.uniform(0.05, 0.25) * 2 * radius).astype(np.float32)


def _noisy(light: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Shot noise grows with the root of the light, read noise does not."""
    shot, read = rng.uniform(0.002, 0.012), rng.uniform(0.001, 0.004)
    sigma = np.sqrt(shot**2 * np.maximum(light, 0) + read**2)
    return np.maximum(light + sigma * rng.standard_normal(light.shape), 0).astype(np.float32)


def _tone_curve(light: FloatArray, white: float) -> FloatArray:
    """Reinhard's curve with white point `white`: a toe that stays, highlights that roll off."""
    boosted = light * 1.35
    return (boosted * (1 + boosted / white**2) / (1 + boosted * 0.55)).astype(np.float32)


def _sharpened(picture: FloatArray, amount: float) -> FloatArray:
    soft = gaussian_filter(picture, (0.8, 0.8, 0), mode="nearest")
    return np.asarray(picture + amount * (picture - soft), dtype=np.float32)
