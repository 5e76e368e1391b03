"""Lights are uniform and reproducible; a batch comes back in the order it was given."""

import numpy as np
import numpy.typing as npt
import pytest

from components.core.materials.material import Material
from components.core.rendering.batch import Light, draw_lights, render_batch
from components.core.rendering.environments import Environment


def grey(level: float) -> Material:
    flat = np.full((4, 4), level, np.float32)
    return Material(np.repeat(flat[..., None], 3, axis=-1), flat, flat, flat)


class Recorder:
    """Notes the environments in the order of rendering, and paints the albedo."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def render_srgb(
        self, material: Material, environment: Environment, *, rotation: float, seed: int
    ) -> npt.NDArray[np.uint8]:
        self.seen.append(environment.name)
        return np.full((2, 2, 3), round(float(material.albedo[0, 0, 0]) * 100), np.uint8)


def test_order_is_kept_and_environments_are_changed_as_seldom_as_possible() -> None:
    environments = [Environment(n, np.ones((2, 4, 3), np.float32)) for n in "ab"]
    lights = [Light(index % 2, 0.0, 0) for index in range(4)]
    recorder = Recorder()
    images = render_batch(recorder, [grey(i / 10) for i in range(4)], environments, lights)
    assert images[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    assert recorder.seen == ["a", "a", "b", "b"]


def test_lights_are_uniform_over_environments_and_rotations() -> None:
    lights = draw_lights(4000, 4, np.random.default_rng(0))
    counts = np.bincount([light.environment for light in lights])
    assert counts.min() > 900
    rotations = np.array([light.rotation for light in lights])
    assert np.histogram(rotations, 4, (0.0, 2 * np.pi))[0].min() > 900
    assert lights == draw_lights(4000, 4, np.random.default_rng(0))


def test_as_many_lights_as_materials_are_asked_for() -> None:
    with pytest.raises(ValueError, match="lights"):
        render_batch(Recorder(), [grey(0.5)], [], [])
