"""The size of an image by its first bytes: what is too large is refused before it is unpacked."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from components.core.errors import UserError

MAX_PIXELS = 1 << 27
"""16384 x 8192, the largest environment that is handed out anywhere, and above an 8k map. Pillow's
own limits lie around it: it warns from 2/3 of it on, and refuses 4/3 before we can. Reading so many
takes about a gigabyte, of floats two and a half (`pixels`)."""
_HEADER = 1 << 16
_EXR = 20000630
_RADIANCE = re.compile(rb"\n[-+]([XY]) (\d+) [-+]([XY]) (\d+)\r?\n")


def refuse_bomb(path: Path, limit: int | None = None) -> None:
    """UserError if a .exr or .hdr file claims more pixels than `limit`, or `MAX_PIXELS`.

    What has no such header is left to its reader, which says that the file is damaged.
    """
    size = pixel_size(path)
    if size:
        refuse_size(path, size, limit)


def refuse_size(path: Path, size: tuple[int, int], limit: int | None = None) -> None:
    """UserError if an image of `size` (width, height) has more pixels than `limit`."""
    limit = MAX_PIXELS if limit is None else limit
    if size[0] * size[1] > limit:
        raise UserError(
            f"{path}: {size[0]} x {size[1]} pixels are too many; expected at most {limit}, "
            "so give a smaller resolution"
        )


def pixel_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of an OpenEXR or Radiance file; None if its header does not tell."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
    except OSError:
        return None
    if head[:4] == struct.pack("<i", _EXR):
        return _exr_size(head)
    found = _RADIANCE.search(head) if head.startswith(b"#?") else None
    if found is None:
        return None
    sides = {found[1]: int(found[2]), found[3]: int(found[4])}
    return sides.get(b"X", 0), sides.get(b"Y", 0)


def _exr_size(head: bytes) -> tuple[int, int] | None:
    """By the attribute dataWindow: name, type and length, then xMin, yMin, xMax, yMax."""
    _, found, rest = head.partition(b"dataWindow\0box2i\0")
    content = rest[:20]
    if not found or len(content) < 20:
        return None
    _, left, top, right, bottom = struct.unpack("<5i", content)
    return right - left + 1, bottom - top + 1
