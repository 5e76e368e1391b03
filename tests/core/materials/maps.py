"""Map files as tests need them."""

from pathlib import Path

import numpy as np
from PIL import Image

from components.core.materials.pbr_set import load_pbr_set
from components.core.rendering.variant import mitsuba


def write(file: Path, value: int | tuple[int, int, int] | np.ndarray, size: int = 8) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, np.ndarray):
        Image.fromarray(value).save(file)
    else:
        Image.new("L" if isinstance(value, int) else "RGB", (size, size), value).save(file)


def write_exr(file: Path, values: np.ndarray) -> None:
    mitsuba().Bitmap(values.astype(np.float32)).write(str(file))


def notes(folder: Path) -> str:
    return " | ".join(load_pbr_set(folder).metadata["notes"])
