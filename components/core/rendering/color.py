"""The exact sRGB transfer curve (IEC 61966-2-1), both ways, on arrays of any shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def srgb_to_linear(srgb: FloatArray) -> FloatArray:
    """sRGB-encoded values in [0, 1] to linear values in [0, 1]."""
    low = srgb / 12.92
    high = ((np.maximum(srgb, 0.0) + 0.055) / 1.055) ** 2.4
    return np.where(srgb <= 0.04045, low, high).astype(np.float32)


def linear_to_srgb(linear: FloatArray) -> FloatArray:
    """Linear values (>= 0, unbounded) to sRGB-encoded values; 1 stays 1, nothing is clamped."""
    low = linear * 12.92
    high = 1.055 * np.maximum(linear, 0.0031308) ** (1.0 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, low, high).astype(np.float32)


def to_srgb_uint8(linear: FloatArray) -> NDArray[np.uint8]:
    """Linear radiance to 8-bit sRGB, clamped: the one tone mapping this project uses."""
    encoded = linear_to_srgb(np.clip(linear, 0.0, 1.0))
    return np.asarray(encoded * 255.0 + 0.5, dtype=np.uint8)
