"""Single map files: what their numbers mean as floats in [0, 1], and back without loss.

8-bit code k is k / 255 and 16-bit code k is k / 65535, so writing what was read gives equal bytes.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.core.errors import UserError
from components.core.materials.material import FloatArray

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for damaged files, format by format."""


def read_map(path: Path) -> FloatArray:
    """A map file as (H, W) or (H, W, 3) float32 in [0, 1]; alpha is dropped.

    Reads what Pillow reads, 16-bit grey included, and .exr. UserError names an unreadable file.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such map file")
    if path.suffix.lower() == ".exr":
        return _read_exr(path)
    try:
        with Image.open(path) as image:
            image.load()
            return _floats(image)
    except UNREADABLE as error:
        raise UserError(
            f"{path}: not a readable image; expected a complete PNG, JPEG, TIFF or EXR map"
        ) from error


def as_grey(values: FloatArray) -> FloatArray:
    """(H, W) from (H, W) or (H, W, 3); equal channels come back exactly."""
    if values.ndim == 2:
        return values
    return values.astype(np.float64).mean(axis=-1).astype(np.float32)


def as_color(values: FloatArray) -> FloatArray:
    """(H, W, 3) from (H, W) or (H, W, 3)."""
    return values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=-1)


def png_8(values: FloatArray) -> bytes:
    """An 8-bit PNG, grey for (H, W) and RGB for (H, W, 3), of values in [0, 1]."""
    return _png(np.round(np.clip(values, 0.0, 1.0).astype(np.float64) * 255.0).astype(np.uint8))


def png_16(values: FloatArray) -> bytes:
    """A 16-bit grey PNG of (H, W) values in [0, 1]."""
    return _png(np.round(np.clip(values, 0.0, 1.0).astype(np.float64) * 65535.0).astype(np.uint16))


def encode_normals(normals: FloatArray, *, directx: bool = False) -> FloatArray:
    """Unit normals (H, W, 3) in [-1, 1] to colours in [0, 1]; DirectX has its green upside down."""
    flipped = normals * np.array([1.0, -1.0 if directx else 1.0, 1.0], np.float32)
    return ((flipped + 1.0) / 2.0).astype(np.float32)


def _png(codes: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(codes).save(buffer, format="PNG")
    return buffer.getvalue()


def _floats(image: Image.Image) -> FloatArray:
    if image.mode.startswith("I;16") or image.mode == "I":
        codes = np.asarray(image).astype(np.float64)
        return np.clip(codes / 65535.0, 0.0, 1.0).astype(np.float32)
    if image.mode == "F":
        return _unit(np.asarray(image, dtype=np.float32))
    wanted = "L" if image.mode in ("1", "L", "LA") else "RGB"
    codes = np.asarray(image.convert(wanted)).astype(np.float64)
    return (codes / 255.0).astype(np.float32)


def _read_exr(path: Path) -> FloatArray:
    from components.core.rendering.variant import mitsuba

    mi = mitsuba()
    try:
        bitmap = mi.Bitmap(str(path)).convert(
            component_format=mi.Struct.Type.Float32, srgb_gamma=False
        )
        values = np.array(bitmap, dtype=np.float32)
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{path}: not a readable EXR map; expected a complete file") from error
    if values.ndim == 3:
        values = values[..., :3] if values.shape[2] >= 3 else values[..., 0]
    return _unit(values)


def _unit(values: FloatArray) -> FloatArray:
    """Float maps as they are, without NaN and what lies outside [0, 1]."""
    return np.clip(np.nan_to_num(values, nan=0.5), 0.0, 1.0).astype(np.float32)
