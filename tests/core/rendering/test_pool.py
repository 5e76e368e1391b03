"""The pool's processes know the lights that were asked for."""

import numpy as np

from components.core.catalogues.address import environments_folders
from components.core.platform.config_types import Rendering
from components.core.rendering.batch import Light
from components.core.rendering.pool import RenderPool, prepare_renderer
from components.core.rendering.threads import cores


def test_the_lights_may_be_a_catalogues(lights_address: str) -> None:
    work = prepare_renderer(Rendering(size=8, spp=1, mesh_resolution=8), lights_address)
    grid = np.full((16, 16, 3), 0.5, np.float32)
    assert work((grid, Light(0, 0.0, 1))).shape == (8, 8, 3)


def test_processes_with_one_thread_each_read_exr_lights(lights_address: str) -> None:
    """By itself, Mitsuba would never end: it reads and writes EXR files with two threads."""
    (folder,) = map(str, environments_folders(lights_address))
    rendering = Rendering(size=8, spp=1, mesh_resolution=8)
    grid = np.full((16, 16, 3), 0.5, np.float32)
    with RenderPool(rendering, folder, cores(), timeout=60.0) as pool:
        (image,) = pool([grid], [Light(0, 0.0, 1)])
    expected = prepare_renderer(rendering, folder)((grid, Light(0, 0.0, 1)))
    np.testing.assert_array_equal(image, expected)
