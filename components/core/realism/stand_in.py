"""Stand-ins for photographs: renderings made to look taken, for worlds without a camera.

A stand-in shows a used piece of a material (`weathered`) in interreflected natural light, with
finer relief than the renderings that materials are judged by, through a camera (`photographed`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from components.core.materials.material import Material
from components.core.materials.weathering import weathered
from components.core.platform.config_types import Rendering
from components.core.rendering.camera import photographed
from components.core.rendering.environments import Environment

if TYPE_CHECKING:
    from components.core.rendering.scene import Renderer

MAP_SCALE = 2
"""Texels a pixel: a camera sees less than there is."""


def detailed_renderer(rendering: Rendering) -> Renderer:
    """More bounces and finer relief than `rendering` asks for."""
    from components.core.rendering.scene import Renderer

    return Renderer(
        size=rendering.size,
        spp=rendering.spp,
        displacement=rendering.displacement * 1.2,
        mesh_resolution=rendering.mesh_resolution * 3 // 2,
        max_depth=5,
        sampler=rendering.sampler,
        interleave=rendering.interleave,
    )


def stand_in(
    material: Material, renderer: Renderer, environment: Environment, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A picture (h, w, 3) as if taken of the material, whose maps are `MAP_SCALE` times as large;
    weather, the light's rotation and the camera's settings are random."""
    used = weathered(material, rng)
    light = renderer.render(
        used, environment, rotation=rng.uniform(0, 2 * np.pi), seed=int(rng.integers(2**31))
    )
    return photographed(light, rng)
