"""Single map files: what their numbers mean as floats in [0, 1], and back without loss.

8-bit code k is k / 255 and 16-bit code k is k / 65535, so writing what was read gives equal bytes.
A file of a few kilobytes may unpack to the largest image that is allowed, so images stay the codes
that they are (three bytes a pixel of colours), and become floats (twelve) by blocks of rows.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.core.errors import UserError
from components.core.materials.headers import MAX_PIXELS, refuse_bomb, refuse_size
from components.core.materials.material import BLOCK, FloatArray

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for damaged files, format by format."""
LINEAR = 0.95
"""PNG's gamma (gAMA) from which a file is linear; files of sRGB have 0.45 or none."""


def read_map(path: Path) -> FloatArray:
    """A map file as (H, W) or (H, W, 3) float32 in [0, 1]; alpha is dropped.

    Reads what Pillow reads, 16-bit grey included, and .exr. UserError names an unreadable file.
    """
    return np.clip(read_raw(path).values(), 0.0, 1.0)


class Raw(NamedTuple):
    """A map file's pixels (H, W) or (H, W, 3), finite, and what had to be done to read it.

    codes: integers of 8 or 16 bits, or floats as they are. floating: the file holds floats, whose
    values have no bounds. linear: colours in it are linear: those of floats, and those whose header
    says so. deep: it has 16 bits.
    """

    codes: NDArray[Any]
    floating: bool
    notes: list[str]
    linear: bool = False
    deep: bool = False

    def values(self, rows: slice = slice(None)) -> FloatArray:
        """Rows as float32: k / 255 or k / 65535, rounded once, or what the file says."""
        return _values(self.codes[rows])

    def extremes(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        low, high = (_values(np.asarray(end)) for end in (self.codes.min(), self.codes.max()))
        return float(low), float(high)


def read_raw(path: Path) -> Raw:
    """As `read_map`, but floats keep their range, and what a person might not expect is told."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such map file")
    if path.suffix.lower() == ".exr":
        return _finite(*_read_exr(path))
    try:
        with Image.open(path) as image:
            refuse_size(path, image.size)
            # 16-bit colours come as 8: only what is still to be decoded tells.
            deep = image.mode.startswith("I") or any("16" in str(tile[3]) for tile in image.tile)
            image.load()
            if image.mode == "F":
                return _finite(np.asarray(image, np.float32), [])
            notes = ["its alpha channel is not used"] if _see_through(image) else []
            if image.mode == "CMYK":
                notes.append("its CMYK colours are converted without their profile")
            linear = float(image.info.get("gamma", 0.0)) >= LINEAR
            return Raw(_codes(image, path), False, notes, linear, deep)
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{path}: its pixels are too many; expected at most {MAX_PIXELS}, so give a smaller "
            "resolution"
        ) from error
    except UNREADABLE as error:
        raise UserError(
            f"{path}: not a readable image; expected a complete PNG, JPEG, TIFF or EXR map"
        ) from error


def as_grey(values: FloatArray) -> FloatArray:
    """(H, W) from (H, W) or (H, W, 3); equal channels come back exactly."""
    if values.ndim == 2:
        return values
    return values.mean(axis=-1, dtype=np.float64).astype(np.float32)


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


def _values(codes: NDArray[Any]) -> FloatArray:
    if codes.dtype == np.float32:
        return codes
    return np.divide(codes, 255 if codes.dtype == np.uint8 else 65535, dtype=np.float32)


def _codes(image: Image.Image, path: Path) -> NDArray[Any]:
    """(H, W) or (H, W, 3) of 8 or 16 bits."""
    if image.mode.startswith("I;16") or image.mode == "I":
        codes = np.asarray(image)
        # 16 bits may come as integers of 32; more than 16 have no scale that all writers share.
        if codes.min() < 0 or codes.max() > 65535:
            raise UserError(f"{path}: holds integers of 32 bits; expected 8 or 16 bits or floats")
        return codes.astype(np.uint16, copy=False)
    wanted = "L" if image.mode in ("1", "L", "LA") else "RGB"
    shape = (image.height, image.width)
    found = np.empty(shape if wanted == "L" else (*shape, 3), np.uint8)
    step = max(1, BLOCK // image.width)
    for top in range(0, image.height, step):
        bottom = min(top + step, image.height)
        rows = image.crop((0, top, image.width, bottom))
        found[top:bottom] = np.asarray(rows.convert(wanted))
    return found


def _see_through(image: Image.Image) -> bool:
    """Whether some pixel is not opaque."""
    if not image.has_transparency_data:
        return False
    known = image if "A" in image.getbands() else image.convert("RGBA")
    lowest = known.getchannel("A").getextrema()[0]
    return bool(np.asarray(lowest) < 255)


def _read_exr(path: Path) -> tuple[FloatArray, list[str]]:
    from components.core.rendering.floats import read_floats

    refuse_bomb(path)
    try:
        values = read_floats(path)
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{path}: not a readable EXR map; expected a complete file") from error
    notes: list[str] = []
    if values.ndim == 3:
        if values.shape[2] in (2, 4) and values[..., -1].min() < 1:
            notes.append("its alpha channel is not used")
        values = values[..., :3] if values.shape[2] >= 3 else values[..., 0]
    return values, notes


def _finite(values: FloatArray, notes: list[str]) -> Raw:
    """Floats without NaN and Inf."""
    bad = values.size - int(np.count_nonzero(np.isfinite(values)))
    if bad:
        notes = [*notes, f"{bad} values that are no numbers (NaN, Inf) are replaced"]
        # Nothing is known of a NaN; an infinity is the end of the scale.
        values = np.nan_to_num(values, nan=0.5, posinf=1.0, neginf=0.0)
    return Raw(values, True, notes, linear=True)
