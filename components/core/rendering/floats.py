"""Files of floats, OpenEXR and Radiance, as Mitsuba reads them: linear, of any range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.core.rendering.threads import threads_for_files
from components.core.rendering.variant import mitsuba

FloatArray = NDArray[np.float32]


def read_floats(file: Path, *, rgb: bool = False) -> FloatArray:
    """(h, w, channels) float32, or (h, w) of one channel; with `rgb`, always (h, w, 3).

    RuntimeError, ValueError or OSError where the file is damaged.
    """
    mi = mitsuba()
    single = mi.Struct.Type.Float32
    with threads_for_files():
        bitmap = mi.Bitmap(str(file))
    wanted = mi.Bitmap.PixelFormat.RGB if rgb else bitmap.pixel_format()
    # Converting makes a copy, of gigabytes where the file is large.
    if (bitmap.pixel_format(), bitmap.component_format()) != (wanted, single):
        bitmap = bitmap.convert(wanted, single, srgb_gamma=False)
    return np.asarray(bitmap, dtype=np.float32)
