"""A PBR material: four aligned maps and what is known about them.

The maps are those of the paper (section 4.2): albedo, height, roughness and metallicity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.float32]

CATEGORIES: tuple[str, ...] = (
    "brick", "ceramic", "fabric", "flower", "granite", "grass", "ground", "leather",
    "leaves", "marble", "metal", "paper", "pebble", "rock", "stone", "wood",
)  # fmt: skip
"""The paper's 16 categories (section 4.3, "Training prompts")."""
BLOCK = 1 << 20
"""Pixels of an image that are worked on at a time where all at once would take much memory."""


@dataclass(frozen=True)
class Material:
    """Maps of one material, all float32 in [0, 1] and of one size.

    albedo: (H, W, 3), sRGB-encoded. height, roughness, metallic: (H, W), linear.
    Height 0.5 is the base plane. Raises ValueError for wrong shapes, ranges or NaN.
    """

    albedo: FloatArray
    height: FloatArray
    roughness: FloatArray
    metallic: FloatArray
    caption: str = ""
    category: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.albedo.ndim != 3 or self.albedo.shape[2] != 3:
            raise ValueError(f"albedo must be (H, W, 3), not {self.albedo.shape}")
        for name, values in self.maps().items():
            expected = self.albedo.shape if name == "albedo" else self.albedo.shape[:2]
            if values.shape != expected:
                raise ValueError(f"{name} must be {expected}, not {values.shape}")
            if values.dtype != np.float32:
                raise ValueError(f"{name} must be float32, not {values.dtype}")
            if not np.isfinite(values).all():
                raise ValueError(f"{name} holds NaN or infinite values")
            if values.min() < 0.0 or values.max() > 1.0:
                raise ValueError(f"{name} must lie in [0, 1]")

    def maps(self) -> dict[str, FloatArray]:
        """The four maps by name, in the grid's reading order."""
        return {
            "albedo": self.albedo,
            "height": self.height,
            "roughness": self.roughness,
            "metallic": self.metallic,
        }

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the maps in pixels."""
        return self.albedo.shape[0], self.albedo.shape[1]

    def resized(self, size: int) -> Material:
        """The material at size × size pixels: area average downwards, bilinear upwards."""
        if self.size == (size, size):
            return self
        return self._with_each(lambda values: resize(values, size))

    def rolled(self, down: int, right: int) -> Material:
        """The maps shifted with wrap-around; a tileable material stays seamless."""
        return self._with_each(lambda values: np.roll(values, (down, right), (0, 1)))

    def _with_each(self, change: Callable[[FloatArray], FloatArray]) -> Material:
        return replace(
            self,
            albedo=change(self.albedo),
            height=change(self.height),
            roughness=change(self.roughness),
            metallic=change(self.metallic),
        )

    def normal(self, strength: float = 0.06) -> FloatArray:
        """OpenGL unit normals (H, W, 3) in [-1, 1], +x right, +y up, from wrapped differences.

        strength: the displacement of height 1 over height 0, in units of the tile's side.
        """
        rows, columns = self.size
        dx = (np.roll(self.height, -1, 1) - np.roll(self.height, 1, 1)) * (columns / 2 * strength)
        dy = (np.roll(self.height, -1, 0) - np.roll(self.height, 1, 0)) * (rows / 2 * strength)
        # Rows run downwards and OpenGL's y upwards, hence the sign of dy.
        normals = np.stack([-dx, dy, np.ones_like(dx)], axis=-1)
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        return normals.astype(np.float32)


def resize(values: FloatArray, size: int) -> FloatArray:
    """(H, W) or (H, W, 3) float32 to size × size: box filter downwards, bilinear upwards."""
    return resize_rows(lambda rows: values[rows], values.shape, size)


def resize_rows(
    read: Callable[[slice], FloatArray], shape: tuple[int, ...], size: int
) -> FloatArray:
    """As `resize` of an image that `read` gives by rows, so that it need never be whole as floats.

    shape: of the whole image, (H, W) or (H, W, 3). The filter works across rows first, each by
    itself, so the blocks do not show.
    """
    rows, columns = shape[:2]
    method = Image.Resampling.BOX if size < rows else Image.Resampling.BILINEAR
    narrow = np.empty((rows, size, *shape[2:]), np.float32)
    step = max(1, BLOCK // columns)
    for top in range(0, rows, step):
        block = read(slice(top, min(top + step, rows)))
        _scaled(block, narrow[top : top + step], method)
    if rows == size:
        return np.clip(narrow, 0.0, 1.0, out=narrow)
    out = np.empty((size, size, *shape[2:]), np.float32)
    _scaled(narrow, out, method)
    return np.clip(out, 0.0, 1.0, out=out)


def _scaled(values: FloatArray, out: FloatArray, method: Image.Resampling) -> None:
    """Fill `out`, whose memory is in one piece, with `values` at its height and width."""
    planes, filled = (array.reshape(*array.shape[:2], -1) for array in (values, out))
    size = out.shape[1], out.shape[0]
    for channel in range(planes.shape[2]):
        plane = Image.fromarray(planes[..., channel])
        filled[..., channel] = np.asarray(plane.resize(size, method))
