"""The sphere preview: it is round, lit from where the light is, and shows the tile upright."""

import numpy as np
import pytest

from components.core.materials.material import Material
from components.core.rendering.environments import Environment, normalised
from components.core.rendering.sphere import DISTANCE, SphereRenderer


def material(albedo: np.ndarray | None = None, height: np.ndarray | None = None) -> Material:
    full = np.ones((32, 32), np.float32)
    color = np.full((32, 32, 3), 0.7, np.float32) if albedo is None else albedo
    return Material(color, full * 0.5 if height is None else height, full * 0.8, full * 0.0)


def light(rows: slice, columns: slice) -> Environment:
    radiance = np.full((64, 128, 3), 1e-3, np.float32)
    radiance[rows, columns] = 10.0
    return normalised(Environment("one side", radiance))


@pytest.fixture(scope="module")
def renderer() -> SphereRenderer:
    return SphereRenderer(64, 16, resolution=64)


def test_a_flat_material_covers_a_disc_of_the_right_size(renderer: SphereRenderer) -> None:
    white = Environment("white", np.ones((64, 128, 3), np.float32))
    image = renderer.render(material(), white)
    assert image.shape == (64, 64, 4)
    # A sphere of radius 1 at distance d has the silhouette 1 / sqrt(d^2 - 1).
    half_frame = np.tan(np.arcsin(1.12 / DISTANCE))
    radius = 32 / np.sqrt(DISTANCE**2 - 1) / half_frame
    assert image[..., 3].sum() == pytest.approx(np.pi * radius**2, rel=0.02)
    assert image[0, 0].max() == 0
    # Every visible point sees the same white light from its own hemisphere.
    inside = image[24:40, 24:40, :3]
    assert inside.std() < 0.08 * inside.mean()


def test_light_from_above_is_on_top_and_turning_it_moves_it(renderer: SphereRenderer) -> None:
    above = renderer.render(material(), light(slice(0, 12), slice(None)))[..., 0]
    assert above[10:20, 24:40].mean() > 3 * above[44:54, 24:40].mean()
    side = light(slice(24, 32), slice(0, 16))
    images = [renderer.render(material(), side, rotation=r)[..., 0] for r in (0, np.pi)]
    left, right = (slice(16, 48), slice(8, 24)), (slice(16, 48), slice(40, 56))
    sides = [np.sign(image[left].mean() - image[right].mean()) for image in images]
    front = [image[24:40, 24:40].mean() for image in images]
    assert sides[0] != sides[1] or abs(front[0] - front[1]) > 0.5 * max(front)


def test_the_tile_is_upright_and_not_mirrored(renderer: SphereRenderer) -> None:
    white = Environment("white", np.ones((64, 128, 3), np.float32))
    albedo = np.zeros((32, 32, 3), np.float32)
    albedo[:16, :16] = [1, 0, 0]
    albedo[:16, 16:] = [0, 1, 0]
    albedo[16:] = [0, 0, 1]
    one = SphereRenderer(64, 16, resolution=64, around=2)
    image = one.render(material(albedo), white)
    # The tile goes round twice and down once; half a turn from the seam a tile begins again.
    upper = image[16:26, :, :3].mean(0)
    assert upper[48:56, 0].mean() > 5 * upper[48:56, 2].mean()
    assert image[42:52, 20:44, 2].mean() > 5 * image[42:52, 20:44, 0].mean()
    columns = np.argmax(upper[10:54, :2], axis=1)
    assert set(columns) == {0, 1}
    assert columns[:18].mean() > 0.9
    assert columns[-18:].mean() < 0.1


def test_relief_changes_the_silhouette(renderer: SphereRenderer) -> None:
    white = Environment("white", np.ones((64, 128, 3), np.float32))
    flat = renderer.render(material(height=np.zeros((32, 32), np.float32)), white)
    high = renderer.render(material(height=np.ones((32, 32), np.float32)), white)
    assert high[..., 3].sum() > 1.1 * flat[..., 3].sum()
