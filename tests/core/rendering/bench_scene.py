"""What an image costs besides its samples: pushing maps, mesh and light, tone mapping, CLIP.

`make bench`. The reference of each row is `mi.render` of the live scene, timed in the same loop.
"""

import time
from collections.abc import Callable

import numpy as np
import pytest

from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES
from components.core.realism.clip import ClipFeatures
from components.core.rendering.environments import load_environments
from components.core.rendering.scene import Renderer
from components.core.rendering.variant import mitsuba

MATERIALS = 16


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@pytest.mark.parametrize(("size", "spp", "maps"), [(64, 16, 64), (256, 16, 256), (512, 16, 512)])
def test_total_time_over_pure_rendering(size: int, spp: int, maps: int) -> None:
    mi = mitsuba()
    rng = np.random.default_rng(0)
    materials = [sample(CATEGORIES[i % 16], rng, maps) for i in range(MATERIALS)]
    environments = load_environments("")
    clip = ClipFeatures.load("small")
    renderer = Renderer(size, spp, mesh_resolution=min(maps, 128), max_depth=3)

    def total(number: int) -> None:
        image = renderer.render_srgb(
            materials[number % MATERIALS],
            environments[number % len(environments)],
            rotation=float(number),
            seed=number,
        )
        clip.images(image[None])

    def pure(number: int) -> None:
        assert renderer._sky is not None
        np.array(mi.render(renderer._sky.scene, seed=number, spp=spp))

    total(0)
    # Each material's own scene is the reference: rough surfaces cost more than flat ones.
    rounds = [
        [(timed(lambda: total(n)), timed(lambda: pure(n))) for n in range(MATERIALS)]  # noqa: B023
        for _ in range(3)
    ]
    whole, bare = np.min(rounds, axis=0).mean(axis=0)
    print(
        f"\n{size}², {spp} spp, maps {maps}²: {1000 * whole:.1f} ms an image, pure render "
        f"{1000 * bare:.1f} ms, ratio {whole / bare:.2f} (aim at 256²: 1.15)"
    )
