"""Diffuse and specular colour, as many networks predict them, to base colour and metalness.

Two ways to say the same surface, all values linear:

    diffuse  = base (1 - metallic)
    specular = 0.04 (1 - metallic) + base metallic

so that base = diffuse + specular - 0.04 (1 - metallic) in every channel, and metallic is the root
in [0, 1] of 0.04 m² + (d + s - 0.08) m + 0.04 - s = 0, with d and s the luminances. Surfaces that
no metalness can say (a bright diffuse and a bright specular at once, as networks like to predict)
come out with the nearest: clamped, the specular colour of the dielectric is lost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.core.materials.material import FloatArray
from components.core.rendering.color import linear_to_srgb, srgb_to_linear

DIELECTRIC = 0.04
"""Reflectance of a dielectric seen head-on, as the metallic workflow takes it."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def to_metallic(diffuse_hwc: FloatArray, specular_hwc: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(albedo (H, W, 3), metallic (H, W)) of diffuse and specular maps (H, W, 3).

    Colours go in and come out sRGB-encoded in [0, 1], metallic is linear.
    """
    diffuse = srgb_to_linear(diffuse_hwc).astype(np.float64)
    specular = srgb_to_linear(specular_hwc).astype(np.float64)
    metallic = _metallic(diffuse @ LUMINANCE, specular @ LUMINANCE)
    base = diffuse + np.maximum(specular - DIELECTRIC * (1.0 - metallic[..., None]), 0.0)
    albedo = linear_to_srgb(np.clip(base, 0.0, 1.0).astype(np.float32))
    return np.clip(albedo, 0.0, 1.0), metallic.astype(np.float32)


def _metallic(diffuse: NDArray[np.float64], specular: NDArray[np.float64]) -> NDArray[np.float64]:
    """The larger root; below the dielectric's reflectance there is no metal."""
    middle = diffuse + specular - 2 * DIELECTRIC
    last = DIELECTRIC - np.maximum(specular, DIELECTRIC)
    root = np.sqrt(np.maximum(middle**2 - 4 * DIELECTRIC * last, 0.0))
    return np.clip((root - middle) / (2 * DIELECTRIC), 0.0, 1.0)
