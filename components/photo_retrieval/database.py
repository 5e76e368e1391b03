"""A photo database: the images of a folder, at one size, with what had to be set aside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.core.errors import UserError
from components.core.materials.photos import list_images, read_photos
from components.core.platform.progress import track


@dataclass(frozen=True)
class Database:
    """images (N, size, size, 3) uint8 and where each came from; rejected: (source, reason)."""

    images: NDArray[np.uint8]
    sources: list[str]
    rejected: list[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.images)


def read_database(folder: Path, size: int, rejected_share: float, batch: int) -> Database:
    """All usable images below `folder`, named relative to it.

    Unusable files are set aside with a reason; more than `rejected_share` of them is an error.
    """
    paths = list_images(folder)
    parts, sources, rejected = [], [], []
    chunks = [paths[i : i + batch] for i in range(0, len(paths), batch)]
    for chunk in track(chunks, "reading photographs"):
        found = read_photos(chunk, size)
        parts.append(found.images)
        sources += [path.relative_to(folder).as_posix() for path in found.kept]
        rejected += [
            (item.path.relative_to(folder).as_posix(), item.reason) for item in found.rejected
        ]
    if len(rejected) > rejected_share * len(paths):
        name, reason = rejected[0]
        raise UserError(
            f"{folder}: {len(rejected)} of {len(paths)} images cannot be used (for example {name}: "
            f"{reason}), more than the share of {rejected_share:g} that photo_retrieval."
            "rejected_share allows; mend or remove them"
        )
    if not sources:
        raise UserError(f"{folder}: none of {len(paths)} images can be used; give photographs")
    return Database(np.concatenate(parts), sources, rejected)
