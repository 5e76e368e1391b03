"""What else could make renderings for a score cheaper, and what it would bring (`make bench`).

Each is told as a ratio against the plain way in the same run: both cores, several materials in one
launch, and a filter in place of samples.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from components.core.materials.grid import pack
from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES, Material
from components.core.platform.config_types import Rendering
from components.core.realism.clip import ClipFeatures
from components.core.rendering.batch import Light, draw_lights
from components.core.rendering.environments import load_environments
from components.core.rendering.pool import RenderPool
from components.core.rendering.scene import Renderer
from tests.core.rendering.meshes import mesh_of

MATERIALS = 32
REPEATS = 5
Images = NDArray[np.uint8]


def drawn(size: int) -> list[Material]:
    rng = np.random.default_rng(size)
    return [sample(CATEGORIES[i % len(CATEGORIES)], rng, size) for i in range(MATERIALS)]


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of several calls, after one that records the kernels."""
    work()
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


@pytest.mark.parametrize("size", [64, 256])
def test_processes_on_all_cores_against_threads_of_one_process(size: int) -> None:
    """The live scene uses every core by itself; the workers are a process a core."""
    rendering = Rendering(size=size, spp=16, mesh_resolution=mesh_of(size))
    environments = load_environments("")
    lights = draw_lights(MATERIALS, len(environments), np.random.default_rng(0))
    # So that neither pays for a change of the environment.
    lights = [Light(0, light.rotation, light.seed) for light in lights]
    materials = drawn(size)
    grids = [pack(material) for material in materials]
    renderer = Renderer(**rendering.model_dump())

    def one() -> None:
        for material, light in zip(materials, lights, strict=True):
            renderer.render_srgb(
                material, environments[0], rotation=light.rotation, seed=light.seed
            )

    single = best(one)
    cores = os.cpu_count() or 1
    with RenderPool(rendering, "", cores, timeout=600) as pool:
        several = best(lambda: pool(grids, lights))
    print(
        f"\n{size}², 16 spp: {1000 * single / MATERIALS:.1f} ms an image in one process, "
        f"{1000 * several / MATERIALS:.1f} in {cores} processes: "
        f"{single / several:.2f} times as fast"
    )


def test_several_materials_in_one_launch_could_save_what_a_launch_costs() -> None:
    """Four images of one size have as many samples as one of twice the size: at most the difference
    is saved by a scene of four tiles, before what such a scene costs to fill."""
    environment = load_environments("")[0]
    material = drawn(64)[0]
    for size in (32, 64, 128):
        small, large = (Renderer(side, 16, 64, 0.06) for side in (size, 2 * size))
        seeds = itertools.count()
        four = best(
            lambda: [small.render(material, environment, seed=next(seeds)) for _ in range(4)]  # noqa: B023
        )
        one = best(lambda: large.render(material, environment, seed=next(seeds)))  # noqa: B023
        print(
            f"\n4 × {size}²: {1000 * four:.1f} ms; once {2 * size}²: {1000 * one:.1f} ms: "
            f"one launch would be at most {four / one:.2f} times as fast"
        )


def test_a_filter_in_place_of_samples() -> None:
    """Noise of the score over its spread, and its order of the materials, with a Gaussian of half
    a pixel: smooth pictures score as less real, so a filter shifts the scores that it steadies."""
    environments = load_environments("")
    materials = drawn(128)
    clip = ClipFeatures.load("small")
    photograph, soft = clip.texts(["photograph of material", "soft material"])
    light = draw_lights(1, len(environments), np.random.default_rng(1))[0]

    def scores(images: Images) -> NDArray[np.float32]:
        return np.asarray(clip.images(images) @ (photograph - soft))

    def rendered(spp: int, seed: int) -> Images:
        renderer = Renderer(128, spp, 128, 0.06)
        return np.stack(
            [
                renderer.render_srgb(
                    material, environments[light.environment], rotation=light.rotation, seed=seed
                )
                for material in materials
            ]
        )

    truth = scores(rendered(64, 100))
    spread = truth.std()
    print(f"\n{'setting':24s} {'noise/spread':>13s} {'shift/spread':>13s} {'Spearman':>9s}")
    for spp in (4, 16):
        plain = [rendered(spp, seed) for seed in range(3)]
        smooth = partial(gaussian_filter, sigma=(0, 0.5, 0.5, 0))
        for name, images in (("plain", plain), ("filtered", [smooth(image) for image in plain])):
            found = np.stack([scores(image) for image in images])
            noise = found.std(axis=0, ddof=1).mean() / spread
            shift = (found.mean(axis=0) - truth).mean() / spread
            order = spearmanr(found[0], truth).statistic
            print(f"{f'{spp} spp, {name}':24s} {noise:13.3f} {shift:13.3f} {order:9.4f}")
