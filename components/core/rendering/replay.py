"""Renderings whose kernels are recorded once and replayed ever after.

`mi.render` traces the integrator again at every call: some 20 ms, at 64² more than the light
transport itself. Dr.Jit's `freeze` keeps what the first call compiled, and a later one only gives
it the new maps, mesh, light and seed. It also replays for inputs that it should not: sizes are part
of the kernels, and a memory that is not aligned is read from the wrong place. So every size is
recorded for itself, and what is pushed into a scene is `owned`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.rendering.variant import mitsuba, traced

FloatArray = NDArray[np.float32]
KEPT = 8
"""Recordings of a scene, the least used go first: maps of another size need one of their own."""


def recorded(scene: Any, spp: int) -> Callable[[int, object], FloatArray]:
    """What renders a scene, given a seed and the sizes of all that was pushed into it.

    Returns linear radiance (h, w, c), the same to the last bit as `mi.render` does. Scalar code is
    not traced and needs no recording.
    """
    mi = mitsuba()
    if not traced(mi):
        return lambda seed, _: np.array(mi.render(scene, seed=seed, spp=spp), np.float32)
    import drjit

    @drjit.freeze(limit=KEPT)  # type: ignore[call-overload]  # its stub asks for state_fn
    def render(scene: Any, seed: Any, sizes: str) -> Any:
        return mi.render(scene, seed=seed, spp=spp)

    return lambda seed, sizes: np.array(render(scene, mi.UInt32(seed), str(sizes)), np.float32)


def owned(values: NDArray[Any]) -> Any:
    """The values as a tensor in Dr.Jit's own, aligned memory instead of numpy's."""
    mi = mitsuba()
    content = np.ascontiguousarray(values, np.float32)
    if not traced(mi):
        return mi.TensorXf(content)
    import drjit

    # A sum with what the compiler does not know to be zero is stored anew.
    copy = mi.Float(content.ravel()) + drjit.opaque(mi.Float, 0)
    drjit.eval(copy)
    return mi.TensorXf(copy, content.shape)
