"""The moving light: a loop of frames under a lamp on a circle (paper, section 5, the study).

GIF has 256 colours a frame, WebP all of them; both repeat for ever.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.core.materials.files import write_whole
from components.core.materials.material import Material
from components.core.rendering.color import to_srgb_uint8
from components.core.rendering.scene import Renderer

FRAMES = 60
MILLISECONDS = 50
"""Of a frame: once round in three seconds."""
LOOP_FORMATS = {".gif": "GIF", ".webp": "WEBP"}


def point_light_loop(
    renderer: Renderer,
    material: Material,
    frames: int = FRAMES,
    *,
    seed: int = 0,
    progress: Callable[[Sequence[int]], Iterable[int]] = lambda indices: indices,
) -> NDArray[np.uint8]:
    """8-bit sRGB frames (N, h, w, 3) of one turn of the lamp, the first with it on the right.

    All frames have the same seed, so that what noise there is stands still.
    """
    angles = np.arange(frames) * (2 * np.pi / frames)
    return np.stack(
        [
            to_srgb_uint8(renderer.render_point_light(material, float(angles[i]), seed=seed))
            for i in progress(range(frames))
        ]
    )


def write_loop(frames_nhwc: NDArray[np.uint8], file: Path) -> None:
    """Write the frames as an endless .gif or .webp, whole or not at all."""
    first, *others = [Image.fromarray(frame) for frame in frames_nhwc]
    buffer = io.BytesIO()
    first.save(
        buffer,
        format=LOOP_FORMATS[file.suffix.lower()],
        save_all=True,
        append_images=others,
        duration=MILLISECONDS,
        loop=0,
        quality=90,
    )
    write_whole(file, buffer.getvalue())
