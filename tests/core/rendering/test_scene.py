"""What a rendering must obey whatever its noise: energy, orientation, light and repeatability."""

import subprocess
import sys

import numpy as np
import pytest

from components.core.materials.material import Material
from components.core.platform.config_types import Rendering
from components.core.rendering.environments import Environment, normalised
from components.core.rendering.scene import Renderer

SIZE = 16


def material(
    albedo: float | np.ndarray = 1.0,
    height: np.ndarray | None = None,
    roughness: float = 0.6,
    metallic: float = 0.0,
    size: int = SIZE,
) -> Material:
    full = np.ones((size, size), np.float32)
    return Material(
        np.broadcast_to(np.asarray(albedo, np.float32), (size, size, 3)).copy(),
        full * 0.5 if height is None else height.astype(np.float32),
        full * roughness,
        full * metallic,
    )


def white() -> Environment:
    return Environment("white", np.ones((128, 256, 3), np.float32))


def one_sided(azimuth_column: int) -> Environment:
    """All light from 45 degrees above the horizon around one column of the image."""
    radiance = np.full((128, 256, 3), 1e-3, np.float32)
    columns = (np.arange(azimuth_column - 8, azimuth_column + 8)) % 256
    radiance[24:40, columns] = 10.0
    return normalised(Environment("side", radiance))


@pytest.fixture(scope="module")
def lambert() -> Renderer:
    return Renderer(SIZE, 64, 16, bsdf="lambert", displacement=0.2)


@pytest.fixture(scope="module")
def principled() -> Renderer:
    return Renderer(SIZE, 16, 16, displacement=0.2)


def test_white_plane_has_radiance_one_under_any_normalised_light(lambert: Renderer) -> None:
    random = np.random.default_rng(0).gamma(1.0, 1.0, (128, 256, 3)) * [0.2, 1.0, 7.0]
    light = normalised(Environment("random", random.astype(np.float32)))
    image = lambert.render(material(), light)
    assert image.shape == (SIZE, SIZE, 3)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image.mean(axis=(0, 1)), 1.0, rtol=0.01)


def test_srgb_albedo_is_linearised(lambert: Renderer) -> None:
    image = lambert.render(material(albedo=0.5), white())
    np.testing.assert_allclose(image, 0.2140, rtol=0.02)


def test_mirror_metal_reflects_the_light_with_its_own_colour(principled: Renderer) -> None:
    gold = np.array([1.0, 0.8, 0.3], np.float32)
    image = principled.render(material(albedo=gold, roughness=0.05, metallic=1.0), white())
    expected = [1.0, 0.6038, 0.0732]
    np.testing.assert_allclose(image.mean(axis=(0, 1)), expected, rtol=0.06)


def test_image_has_the_orientation_of_the_maps_and_fills_the_frame(lambert: Renderer) -> None:
    albedo = np.zeros((SIZE, SIZE, 3), np.float32)
    albedo[:8, :8] = [1, 0, 0]
    albedo[:8, 8:] = [0, 1, 0]
    albedo[8:, :8] = [0, 0, 1]
    image = lambert.render(material(albedo=albedo), white())
    np.testing.assert_allclose(image[1:7, 1:7].mean(axis=(0, 1)), [1, 0, 0], atol=0.02)
    np.testing.assert_allclose(image[1:7, 9:15].mean(axis=(0, 1)), [0, 1, 0], atol=0.02)
    np.testing.assert_allclose(image[9:15, 1:7].mean(axis=(0, 1)), [0, 0, 1], atol=0.02)
    np.testing.assert_allclose(image[9:15, 9:15].mean(axis=(0, 1)), 0, atol=0.02)
    plain = lambert.render(material(), white())
    assert plain.min() > 0.95


def test_slopes_towards_the_light_are_bright(lambert: Renderer) -> None:
    ridge = 0.5 + 0.5 * np.cos(np.linspace(0, 2 * np.pi, SIZE, endpoint=False) + np.pi)
    height = np.broadcast_to(ridge, (SIZE, SIZE))
    # The column at a quarter lies at azimuth pi / 2, world +x: the right of the image.
    image = lambert.render(material(height=height), one_sided(64))
    left, right = image[:, 2:6].mean(), image[:, 10:14].mean()
    assert right > 1.5 * left
    turned = lambert.render(material(height=height), one_sided(64), rotation=np.pi)
    assert turned[:, 2:6].mean() > 1.5 * turned[:, 10:14].mean()


def test_rotation_is_anticlockwise_and_in_radians(lambert: Renderer) -> None:
    ridge = 0.5 - 0.5 * np.cos(np.linspace(0, 2 * np.pi, SIZE, endpoint=False))
    rows = np.broadcast_to(ridge[:, None], (SIZE, SIZE))
    image = lambert.render(material(height=rows), one_sided(64), rotation=np.pi / 2)
    assert image[2:6].mean() > 1.5 * image[10:14].mean()


def test_pits_are_darker_than_peaks(lambert: Renderer) -> None:
    y, x = np.meshgrid(*[np.linspace(-1, 1, SIZE)] * 2, indexing="ij")
    pit = 1.0 - np.exp(-8 * (x * x + y * y))
    image = lambert.render(material(height=pit), white())
    assert image[7:9, 7:9].mean() < 0.9 * image[0, :].mean()


def test_point_light_moves_and_has_irradiance_pi_in_the_centre(lambert: Renderer) -> None:
    right = lambert.render_point_light(material(), 0.0)
    top = lambert.render_point_light(material(), np.pi / 2)
    np.testing.assert_allclose(right[7:9, 7:9], 1.0, rtol=0.05)
    assert right[:, -3:].mean() > 1.2 * right[:, :3].mean()
    assert top[:3].mean() > 1.2 * top[-3:].mean()


def test_same_seed_same_image_and_maps_of_other_sizes_fit(principled: Renderer) -> None:
    rng = np.random.default_rng(1)
    rough = material(albedo=rng.random((SIZE, SIZE, 3)), height=rng.random((SIZE, SIZE)))
    first = principled.render(rough, one_sided(10), rotation=0.4, seed=7)
    other = principled.render(material(size=40), white(), seed=3)
    assert other.shape == first.shape
    again = principled.render(rough, one_sided(10), rotation=0.4, seed=7)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - principled.render(rough, one_sided(10), rotation=0.4, seed=8)).max() > 0


def test_a_busy_machine_renders_the_same() -> None:
    """Threads that are interrupted finish in another order, which must not show."""
    rng = np.random.default_rng(2)
    rough = material(height=rng.random((SIZE, SIZE)))
    renderer = Renderer(32, 4, 96, 0.1)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        images = [renderer.render(rough, one_sided(10), seed=7) for _ in range(40)]
    finally:
        for process in busy:
            process.kill()
            process.wait()
    for image in images[1:]:
        np.testing.assert_array_equal(image, images[0])


def test_mirrored_maps_show_no_cliff_at_the_border() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, SIZE), (SIZE, SIZE))
    light = one_sided(192)
    repeated = Renderer(SIZE, 16, 16, 0.3, bsdf="lambert").render(material(height=ramp), light)
    mirrored = Renderer(SIZE, 16, 16, 0.3, bsdf="lambert", wrap="mirror").render(
        material(height=ramp), light
    )
    inside = repeated[:, 6:10].mean()
    assert abs(repeated[:, 0].mean() - inside) > 0.3 * inside
    assert abs(mirrored[:, 1].mean() - inside) < 0.2 * inside


def test_depth_and_sampler_of_a_recipe_reach_the_image() -> None:
    """A white pit is lighter where light may bounce, and another sampler errs otherwise."""
    pit = np.ones((SIZE, SIZE))
    pit[5:11, 5:11] = 0.0
    sky = normalised(Environment("sky", np.ones((16, 32, 3), np.float32)))

    def seen(**settings: object) -> np.ndarray:
        given = {"size": SIZE, "spp": 256, "displacement": 0.5, "mesh_resolution": 32, **settings}
        renderer = Renderer(**Rendering.model_validate(given).model_dump())
        return renderer.render(material(height=pit, roughness=1.0), sky)[7:9, 7:9]

    direct, bounced = seen(max_depth=2), seen(max_depth=4)
    assert bounced.mean() > 1.1 * direct.mean()
    other = seen(max_depth=2, sampler="independent")
    assert not np.array_equal(other, direct)
    assert other.mean() == pytest.approx(direct.mean(), rel=0.1)
