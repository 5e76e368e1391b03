"""The pool's processes know the lights that were asked for."""

import numpy as np

from components.core.platform.config_types import Rendering
from components.core.rendering.batch import Light
from components.core.rendering.pool import prepare_renderer


def test_the_lights_may_be_a_catalogues(lights_address: str) -> None:
    work = prepare_renderer(Rendering(size=8, spp=1, mesh_resolution=8), lights_address)
    grid = np.full((16, 16, 3), 0.5, np.float32)
    assert work((grid, Light(0, 0.0, 1))).shape == (8, 8, 3)
