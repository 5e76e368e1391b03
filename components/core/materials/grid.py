"""The 2×2 grid that the diffusion model sees instead of an RGB image (paper section 4.2).

Albedo top left, height top right, roughness bottom left, metallic bottom right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.core.materials.material import FloatArray, Material


def pack(material: Material) -> FloatArray:
    """The material as one image (2H, 2W, 3), float32 in [0, 1]."""

    def grey(values: FloatArray) -> FloatArray:
        return np.repeat(values[..., None], 3, axis=-1)

    top = np.concatenate([material.albedo, grey(material.height)], axis=1)
    bottom = np.concatenate([grey(material.roughness), grey(material.metallic)], axis=1)
    return np.concatenate([top, bottom], axis=0)


def unpack(grid: FloatArray, caption: str = "", category: str = "") -> Material:
    """The inverse of `pack`; a grey map is the mean of its three channels.

    Raises ValueError if the grid is not (2H, 2W, 3). Values outside [0, 1] are clipped.
    """
    if grid.ndim != 3 or grid.shape[2] != 3 or grid.shape[0] % 2 or grid.shape[1] % 2:
        raise ValueError(f"a grid must be (2H, 2W, 3), not {grid.shape}")
    rows, columns = grid.shape[0] // 2, grid.shape[1] // 2
    clipped = np.clip(grid, 0.0, 1.0).astype(np.float32)

    def grey(part: FloatArray) -> FloatArray:
        # Summed in float64: the mean of three equal float32 numbers is then that number.
        return part.astype(np.float64).mean(axis=-1).astype(np.float32)

    return Material(
        albedo=np.ascontiguousarray(clipped[:rows, :columns]),
        height=grey(clipped[:rows, columns:]),
        roughness=grey(clipped[rows:, :columns]),
        metallic=grey(clipped[rows:, columns:]),
        caption=caption,
        category=category,
    )


def pack_uint8(material: Material) -> NDArray[np.uint8]:
    """`pack`, rounded to 8 bits."""
    return to_uint8(pack(material))


def unpack_uint8(grid: NDArray[np.uint8], caption: str = "", category: str = "") -> Material:
    """`unpack` of an 8-bit grid."""
    return unpack(grid.astype(np.float32) / 255.0, caption, category)


def to_uint8(values: FloatArray) -> NDArray[np.uint8]:
    """[0, 1] floats to the nearest of 256 levels."""
    return np.round(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)
