"""What participants see: frames of one size, written again so that nothing else travels along.

Names, dates, prompts and software in the metadata of a picture could tell which method made it,
and so could its size or format. Every medium is therefore decoded, brought to one size and encoded
anew, stills as PNG and loops as WebP.
"""

from __future__ import annotations

import io
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from components.core.errors import UserError
from components.core.materials.files import write_whole
from components.core.rendering.loop import MILLISECONDS

SIZE = 384
MAX_FRAMES = 120
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
TYPES = {".png": "image/png", ".webp": "image/webp"}

Frames = NDArray[np.uint8]
"""(N, S, S, 3) sRGB; a still has one."""


@dataclass(frozen=True)
class Stored:
    """A medium in the store: its opaque id, its file's name there, its type."""

    id: str
    file: str
    type: str


def read_frames(file: Path, size: int = SIZE) -> Frames:
    """The frames of a picture or loop, cut to a square and resized; UserError if unreadable."""
    try:
        with Image.open(file) as image:
            found = [
                _square(frame.convert("RGB"), size)
                for _, frame in zip(range(MAX_FRAMES), ImageSequence.Iterator(image), strict=False)
            ]
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} cannot be read as a picture: replace or remove it.") from error
    return np.stack(found)


def _square(image: Image.Image, size: int) -> Frames:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    cut = image.crop((left, top, left + side, top + side))
    return np.asarray(cut.resize((size, size), Image.Resampling.LANCZOS))


def broken(frames: Frames, rng: np.random.Generator) -> Frames:
    """What nobody who looks takes for real: a few flat squares in random colours.

    Catch trials show it beside an intact medium.
    """
    size = frames.shape[1]
    colors = rng.integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
    still = np.asarray(Image.fromarray(colors).resize((size, size), Image.Resampling.NEAREST))
    return np.broadcast_to(still, frames.shape).copy()


def encode(frames: Frames) -> tuple[bytes, str]:
    """The file's content and its suffix: a PNG for one frame, an endless WebP for more."""
    first, *others = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    if not others:
        first.save(buffer, "PNG", optimize=True)
        return buffer.getvalue(), ".png"
    first.save(
        buffer, "WEBP", save_all=True, append_images=others, duration=MILLISECONDS, loop=0,
        quality=88, method=2,
    )  # fmt: skip
    return buffer.getvalue(), ".webp"


def store(frames: Frames, folder: Path) -> Stored:
    """Write frames into the store under a random name that tells nothing."""
    content, suffix = encode(frames)
    name = secrets.token_urlsafe(16)
    write_whole(folder / f"{name}{suffix}", content)
    # The order in which files were written, which servers send along, is that of the methods.
    os.utime(folder / f"{name}{suffix}", (0, 0))
    return Stored(name, f"{name}{suffix}", TYPES[suffix])
