"""Interleaved sampling: stratified in a pixel and in a square of them, unbiased, without grain."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES, Material
from components.core.platform.config_types import Rendering
from components.core.rendering.environments import load_environments
from components.core.rendering.interleaved import interleaved
from components.core.rendering.scene import Renderer
from components.core.rendering.variant import mitsuba, traced


@pytest.fixture(autouse=True)
def compiled() -> None:
    if not traced(mitsuba()):
        pytest.skip("scalar code has no interleaved sampler")


def points(spp: int, interleave: int, *, size: int = 16, seed: int = 3, skip: int = 0) -> Any:
    """What the sampler gives, (size, size, spp, 2)."""
    mi = mitsuba()
    sampler = mi.load_dict(interleaved(mi, size, interleave))
    sampler.set_sample_count(spp)
    sampler.seed(seed, size * size * spp)
    for _ in range(skip):
        sampler.next_1d()
    return np.array(sampler.next_2d()).T.reshape(size, size, spp, 2)


def is_net(found: Any) -> bool:
    """Whether n points (n, 2) are a (0, m, 2)-net: one in each box of 2^-a times 2^(a-m)."""
    count = len(found)
    for across in [2**i for i in range(count.bit_length())]:
        box = np.floor(found * [across, count // across]).astype(int)
        if len({tuple(each) for each in box}) < count:
            return False
    return True


@pytest.mark.parametrize("skip", [0, 1, 5])
@pytest.mark.parametrize(("spp", "interleave"), [(16, 1), (8, 2), (4, 2), (4, 4), (1, 8)])
def test_a_pixel_is_stratified_and_so_is_the_square(spp: int, interleave: int, skip: int) -> None:
    found = points(spp, interleave, skip=skip)
    assert found.min() >= 0
    assert found.max() < 1
    for row in range(interleave):
        for column in range(interleave):
            assert is_net(found[row, column])
    square = found[:interleave, :interleave].reshape(-1, 2)
    assert is_net(square)
    np.testing.assert_array_equal(found, np.roll(found, (interleave, -interleave), (0, 1)))


def test_seeds_and_dimensions_are_unlike_each_other_and_evenly_spread() -> None:
    values = np.stack(
        [points(4, 1, size=2, seed=seed, skip=seed % 3)[0, 0, :, 0] for seed in range(400)]
    )
    assert np.histogram(values, 8, (0, 1))[0] == pytest.approx(200, rel=0.2)
    assert abs(np.corrcoef(values[:, 0], np.arange(400))[0, 1]) < 0.15
    one, other = points(16, 1, skip=0)[0, 0], points(16, 1, skip=1)[0, 0]
    assert abs(np.corrcoef(one[:, 0], other[:, 0])[0, 1]) < 0.6


def test_clones_forks_and_seeds_of_any_size() -> None:
    mi, expected = mitsuba(), points(4, 2, seed=2**32 - 1)
    sampler = mi.load_dict(interleaved(mi, 16, 2))
    sampler.set_sample_count(4)
    sampler.seed(2**32 - 1, 16 * 16 * 4)
    sampler.seed(2**32 - 1)  # of the same size
    twin, fork = sampler.clone(), sampler.fork()
    fork.seed(2**32 - 1, 16 * 16 * 4)
    for each in (sampler, twin, fork):
        np.testing.assert_array_equal(np.array(each.next_2d()).T.reshape(16, 16, 4, 2), expected)
    twin = sampler.clone()  # which goes on where the other is
    np.testing.assert_array_equal(np.array(twin.next_1d()), np.array(sampler.next_1d()))
    assert np.abs(expected - points(4, 2, seed=2**31)).max() > 0.1


def test_an_oblong_film_has_the_same_squares() -> None:
    mi = mitsuba()
    sampler = mi.load_dict(interleaved(mi, 16, 4))
    sampler.set_sample_count(4)
    sampler.seed(3, 6 * 16 * 4)  # 6 rows, which cut the lower squares
    found = np.array(sampler.next_2d()).T.reshape(6, 16, 4, 2)
    np.testing.assert_array_equal(found, points(4, 4)[:6])


def surfaces(count: int) -> list[Material]:
    rng = np.random.default_rng(0)
    return [sample(CATEGORIES[5 * number % 16], rng, 24) for number in range(count)]


def test_the_mean_of_many_images_is_what_other_samplers_converge_to() -> None:
    ours = Renderer(24, 4, 24, sampler="interleaved", interleave=2)
    truth = Renderer(24, 1024, 24)
    light = load_environments("")[0]
    for material in surfaces(3):
        mean = np.mean([ours.render(material, light, seed=seed) for seed in range(400)], axis=0)
        expected = truth.render(material, light)
        assert np.abs(mean - expected).mean() < 0.012 * expected.mean()


def test_replayed_images_are_those_of_a_fresh_trace() -> None:
    mi, environments = mitsuba(), load_environments("")
    renderer = Renderer(24, 4, 24, sampler="interleaved", interleave=2)
    for number, material in enumerate(surfaces(8)):
        image = renderer.render(material, environments[number], rotation=number, seed=number)
        assert renderer._sky is not None
        fresh = np.array(mi.render(renderer._sky.scene, seed=number, spp=4))
        np.testing.assert_array_equal(image, fresh, err_msg=f"image {number}")


@pytest.mark.parametrize("interleave", [1, 2])
def test_a_flat_surface_has_no_grain(interleave: int) -> None:
    """Its pixels differ by their place in the square and, a little, by the camera's view."""
    full = np.full((32, 32), 0.5, np.float32)
    plane = Material(np.full((32, 32, 3), 0.5, np.float32), full, full, 0 * full)
    light = load_environments("")[0]

    def grain(renderer: Renderer) -> float:
        image = renderer.render(plane, light, seed=1).mean(axis=-1)
        square = image.reshape(32 // interleave, interleave, 32 // interleave, interleave)
        return float(np.diff(square, axis=0).std() / image.mean())

    ours = grain(Renderer(32, 4, 32, sampler="interleaved", interleave=interleave))
    assert ours < 0.02
    assert grain(Renderer(32, 4, 32)) > 5 * ours


def test_numbers_that_are_no_powers_of_two_are_refused() -> None:
    with pytest.raises(ValidationError, match="'interleaved', spp is a power of two, not 9"):
        Rendering(spp=9, sampler="interleaved")
    with pytest.raises(ValidationError, match="interleave is a power of two"):
        Rendering(spp=8, sampler="interleaved", interleave=3)
    with pytest.raises(ValueError, match="not powers of two"):
        Renderer(spp=9, sampler="interleaved")
    assert Rendering(spp=9).interleave == 1
