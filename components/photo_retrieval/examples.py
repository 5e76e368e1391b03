"""Example images: photographs of what a category is to find, beside its text.

They lie in one folder a category, `examples/brick/*.jpg`; a category may have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from components.core.errors import UserError
from components.core.materials.material import CATEGORIES
from components.core.materials.photo_chunks import Chunk, decode
from components.core.materials.photos import SUFFIXES
from components.core.platform.storage import listing
from components.core.realism.clip import ClipFeatures


@dataclass(frozen=True)
class Examples:
    """Unit features (E, D), the number of each one's category (E,) and its name."""

    features: NDArray[np.float32]
    category: NDArray[np.int64]
    names: tuple[str, ...]

    @classmethod
    def none(cls, dimension: int) -> Examples:
        """No examples."""
        return cls(np.zeros((0, dimension), np.float32), np.zeros(0, np.int64), ())


def list_examples(uri: str) -> list[tuple[str, str]]:
    """(category, name) of the images at `uri`; UserError if their folders are no categories."""
    found = []
    for entry in sorted(listing(uri)):
        path = PurePosixPath(entry.name)
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        category = path.parts[0]
        if len(path.parts) < 2 or category not in CATEGORIES:
            raise UserError(
                f"{uri}: {entry.name} is an example of no category: put it into a folder named "
                f"after one of {', '.join(CATEGORIES)}"
            )
        found.append((category, entry.name))
    if not found:
        raise UserError(
            f"{uri}: no example image found; expected one folder for each category (such as "
            f"{CATEGORIES[0]}/) with files ending in {', '.join(SUFFIXES)}"
        )
    return found


def read_examples(uri: str, clip: ClipFeatures, size: int) -> Examples:
    """The examples at `uri`, read as the photographs of the database are. An unreadable one is a
    UserError: few were chosen, and each with care."""
    listed = list_examples(uri)
    decoded = decode(Chunk(uri.rstrip("/"), tuple(name for _, name in listed)), size)
    if decoded.rejected:
        name, reason = decoded.rejected[0]
        raise UserError(f"{uri}: the example {name} cannot be used ({reason}): mend or remove it")
    category = np.array([CATEGORIES.index(category) for category, _ in listed], np.int64)
    return Examples(clip.images(decoded.images), category, tuple(decoded.names))
