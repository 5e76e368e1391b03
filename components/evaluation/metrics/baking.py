"""How much light was baked into an albedo map (the fault of Fig. 11, paper section 6.4).

Under one light the shading of a surface is linear in its normal: n·l = nx lx + ny ly + nz lz. What
an albedo shares with nx and ny is therefore shading by some distant light, whichever it is; what
it shares with nx x + ny y, with x and y the place on the tile, is shading by a lamp above the
centre. Paint that depends on height alone (dark joints between bricks) is no fault and counts
little: slopes on either side of a joint cancel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.core.materials.material import Material
from components.core.rendering.color import srgb_to_linear

Floats = npt.NDArray[np.floating]

FLAT = 1e-9
"""Variances below this are those of a map without content."""
DARKEST = 1e-3
"""Linear luminance below which the logarithm is cut: 8-bit sRGB has no finer steps there."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def light_baking(material: Material) -> float | None:
    """Multiple correlation, 0 to 1, of log luminance with shading by the most fitting light.

    None where the albedo or the normals are flat: a surface without slopes shows no shading, baked
    or not, which is no merit of the method that made it.
    """
    return shading_correlation(log_luminance(material), material.normal())


def shading_correlation(luminance_hw: Floats, normals_hwc: Floats) -> float | None:
    """Multiple correlation of (H, W) values with the three shadings of normals (H, W, 3).

    The square is adjusted for the number of shadings; it never lies below 0. None if either is
    flat.
    """
    rows, columns = luminance_hw.shape
    down, across = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    nx, ny = normals_hwc[..., 0].astype(np.float64), normals_hwc[..., 1].astype(np.float64)
    # Rows run downwards and the normal's y upwards.
    shadings = np.stack([nx, ny, -(nx * across - ny * down)], -1).reshape(-1, 3)
    shadings -= shadings.mean(axis=0)
    values = luminance_hw.astype(np.float64).ravel()
    values -= values.mean()
    total = float(values @ values)
    kept = shadings[:, shadings.var(axis=0) > FLAT]
    if total / len(values) < FLAT or kept.shape[1] == 0:
        return None
    weights, *_ = np.linalg.lstsq(kept, values, rcond=None)
    left = values - kept @ weights
    freedom = len(values) - kept.shape[1] - 1
    explained = 1.0 - float(left @ left) / total * (len(values) - 1) / freedom
    return float(np.sqrt(max(explained, 0.0)))


def log_luminance(material: Material) -> Floats:
    """Logarithm of the albedo's linear luminance (H, W): shading then adds to paint."""
    linear = srgb_to_linear(material.albedo) @ LUMINANCE
    logarithm: Floats = np.log(np.maximum(linear, DARKEST))
    return logarithm
