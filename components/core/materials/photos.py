"""Photographs as they come: read what can be read, set the rest aside with a reason.

A photo folder holds what people put there. Truncated files, text named .png, CMYK and 16-bit grey
scans (whose colours a photograph's viewer would have to guess) and images of a few pixels are
counted and named instead of stopping a run.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from components.core.errors import UserError
from components.core.materials.material import FloatArray

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
SMALLEST = 16
"""Pixels of the shorter side below which an image shows no material."""

_DEEP_MODES = ("I", "F")


class Rejected(NamedTuple):
    """A file that was set aside and why, in words for a user."""

    path: Path
    reason: str


class Photos(NamedTuple):
    """images: uint8 (N, size, size, 3) sRGB, one for each kept path."""

    images: NDArray[np.uint8]
    kept: list[Path]
    rejected: list[Rejected]


def list_images(folder: Path) -> list[Path]:
    """All files below a folder whose names end as images do, sorted; UserError if none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder of photographs")
    found = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
    if not found:
        raise UserError(f"{folder}: no image found; expected files ending in {', '.join(SUFFIXES)}")
    return found


def read_photo(path: Path, size: int) -> FloatArray:
    """The centre square of a photograph, (size, size, 3) float32 sRGB in [0, 1].

    UserError says why the file cannot be used.
    """
    return (_read(path, size).astype(np.float32) / 255.0).astype(np.float32)


def read_photos(paths: Iterable[Path], size: int) -> Photos:
    """All photographs that can be used, and the others with their reasons."""
    images: list[NDArray[np.uint8]] = []
    kept: list[Path] = []
    rejected: list[Rejected] = []
    for path in paths:
        try:
            images.append(_read(path, size))
            kept.append(path)
        except UserError as error:
            rejected.append(Rejected(path, str(error).removeprefix(f"{path}: ")))
    stacked = np.stack(images) if images else np.zeros((0, size, size, 3), np.uint8)
    return Photos(stacked, kept, rejected)


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) uint8, or UserError with "path: reason"."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        return _decode(path, size)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def decode_photo(content: bytes, size: int) -> NDArray[np.uint8]:
    """The centre square of an encoded image, (size, size, 3) uint8; UserError says why not."""
    return _decode(io.BytesIO(content), size)


def _decode(file: Path | BinaryIO, size: int) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as image:
            reason = _unusable(image)
            if reason:
                raise UserError(reason)
            # JPEG can decode at a fraction of its size; twice the target keeps the quality.
            image.draft("RGB", (2 * size, 2 * size))
            return _square(image, size)
    except UnidentifiedImageError as error:
        raise UserError("not an image, whatever its name says") from error
    except Image.DecompressionBombError as error:
        raise UserError("too large to be a photograph") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"damaged or incomplete image ({error})") from error


def _unusable(image: Image.Image) -> str:
    """Why an image that opens is set aside; empty if it is fine."""
    if min(image.size) < SMALLEST:
        return f"only {image.width} x {image.height} pixels; expected at least {SMALLEST}"
    if image.mode == "CMYK":
        return "CMYK colours; expected RGB"
    if image.mode in _DEEP_MODES or image.mode.startswith("I;16"):
        return "16-bit or float grey; expected an 8-bit photograph"
    return ""


def _square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    fitted = ImageOps.fit(upright.convert("RGB"), (size, size), Image.Resampling.LANCZOS)
    return np.array(fitted, dtype=np.uint8)
