"""Many materials, each under its own light: what a reward, a data set or a comparison renders.

Paper equation 6 draws the environment of every sample uniformly from a fixed set; a rotation about
the up axis, also uniform, makes more of a small set. Lights are values, so the same material can be
looked at before and after training under exactly the same one.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from components.core.materials.material import Material
from components.core.rendering.environments import Environment

Wrap = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class Light:
    """Which environment of a list, turned by how many radians, and the seed of the samples."""

    environment: int
    rotation: float
    seed: int


class SrgbRenderer(Protocol):
    """The one thing asked of `components.core.rendering.scene.Renderer` here."""

    def render_srgb(
        self, material: Material, environment: Environment, *, rotation: float, seed: int
    ) -> npt.NDArray[np.uint8]:
        """An image (h, w, 3) of the material from above."""
        ...


def draw_lights(count: int, environments: int, rng: np.random.Generator) -> list[Light]:
    """`count` independent lights, uniform over `environments` environments and all rotations."""
    if environments < 1:
        raise ValueError("at least one environment is needed to draw a light")
    chosen = rng.integers(environments, size=count)
    rotations = rng.uniform(0.0, 2.0 * math.pi, size=count)
    seeds = rng.integers(2**31, size=count)
    return [
        Light(int(index), float(rotation), int(seed))
        for index, rotation, seed in zip(chosen, rotations, seeds, strict=True)
    ]


def render_batch(
    renderer: SrgbRenderer,
    materials: Sequence[Material],
    environments: Sequence[Environment],
    lights: Sequence[Light],
    *,
    progress: Wrap = lambda indices: indices,
) -> npt.NDArray[np.uint8]:
    """Render `materials[i]` under `lights[i]`: uint8 sRGB images (N, h, w, 3) in that order.

    Works through the environments one after the other, because changing the environment of a live
    scene costs more than changing its maps.
    """
    if len(materials) != len(lights):
        raise ValueError(f"{len(materials)} materials but {len(lights)} lights")
    images: dict[int, npt.NDArray[np.uint8]] = {}
    for index in progress(sorted(range(len(lights)), key=lambda i: lights[i].environment)):
        light = lights[index]
        images[index] = renderer.render_srgb(
            materials[index],
            environments[light.environment],
            rotation=light.rotation,
            seed=light.seed,
        )
    return np.stack([images[index] for index in range(len(lights))])
