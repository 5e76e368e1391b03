"""Replayed kernels give what traced ones give, to the last bit, whatever a scene is given."""

import numpy as np
import pytest

from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES
from components.core.rendering.environments import load_environments
from components.core.rendering.scene import Renderer
from components.core.rendering.variant import mitsuba, traced


@pytest.fixture(autouse=True)
def compiled() -> None:
    if not traced(mitsuba()):
        pytest.skip("scalar code is not traced, so nothing is recorded")


def test_every_image_is_that_of_a_fresh_trace() -> None:
    mi, rng = mitsuba(), np.random.default_rng(0)
    renderer, environments = Renderer(24, 4, 24), load_environments("")
    for number in range(12):
        # Sizes change now and then, also to one that another map of the scene had before.
        material = sample(CATEGORIES[number], rng, (32, 48, 128)[number // 2 % 3])
        light = environments[number % len(environments)]
        image = renderer.render(material, light, rotation=0.7 * number, seed=number)
        assert renderer._sky is not None
        traced = np.array(mi.render(renderer._sky.scene, seed=number, spp=4))
        np.testing.assert_array_equal(image, traced, err_msg=f"image {number}")


def test_a_moving_lamp_is_replayed_too() -> None:
    mi, renderer = mitsuba(), Renderer(24, 4, 24)
    material = sample("metal", np.random.default_rng(0), 32)
    for step in range(6):
        image = renderer.render_point_light(material, step, seed=step, radius=0.5 + 0.1 * step)
        assert renderer._point is not None
        traced = np.array(mi.render(renderer._point.scene, seed=step, spp=4))
        np.testing.assert_array_equal(image, traced, err_msg=f"image {step}")


def test_the_integrator_is_traced_for_the_first_images_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mi, rng = mitsuba(), np.random.default_rng(0)
    traced, original = [], mi.render

    def counted(*values: object, **named: object) -> object:
        traced.append(number)
        return original(*values, **named)

    monkeypatch.setattr(mi, "render", counted)
    renderer, environments = Renderer(16, 4, 16), load_environments("")
    for number in range(20):
        material = sample(CATEGORIES[number % 16], rng, 32)
        renderer.render(
            material, environments[number % len(environments)], rotation=number, seed=number
        )
    assert 0 < len(traced) < 8
