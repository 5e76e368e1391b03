"""Fixed prompts and seeds under fixed light, rendered every few epochs (paper, figure 10).

One picture an epoch, prompts from left to right; below each other they are the strips that show
how materials change during training.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.core.materials.files import write_whole

FOLDER = "strips"


def strip_file(folder: Path, epoch: int) -> Path:
    """Where the strip of an epoch lies."""
    return folder / FOLDER / f"epoch-{epoch:05d}.png"


def save_strip(folder: Path, epoch: int, images_nhwc: npt.NDArray[np.uint8]) -> None:
    """Write the renderings (N, h, w, 3) of an epoch side by side, whole or not at all."""
    import io

    file = strip_file(folder, epoch)
    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(images_nhwc), axis=1)).save(buffer, format="PNG")
    write_whole(file, buffer.getvalue())


def strip_files(folder: Path) -> dict[int, Path]:
    """All strips so far by epoch, the first epoch first."""
    files = sorted((folder / FOLDER).glob("epoch-*.png"))
    return {int(file.stem.removeprefix("epoch-")): file for file in files}


def strip_name(epoch: int) -> str:
    """What the tracker and the artifact call the strip of an epoch."""
    return f"{FOLDER}/{epoch:05d}.png"


def read_strip(file: Path) -> npt.NDArray[np.uint8]:
    """A strip's picture (h, w, 3)."""
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def sheet(folder: Path) -> npt.NDArray[np.uint8] | None:
    """All strips so far below each other, the first epoch on top; None if there are none."""
    files = strip_files(folder)
    return np.concatenate([read_strip(file) for file in files.values()]) if files else None
