"""What an image costs besides its samples: pushing maps, mesh and light, tone mapping, CLIP.

`make bench`. The reference of each row is plain `mi.render` of the live scene, timed in the same
loop. It traces the integrator anew at every call; the renderer replays a recording instead, so part
of what it adds is won back there. Processor time is printed beside wall time, because it does not
depend on what else the machine does.
"""

import time
from collections.abc import Callable

import numpy as np
import pytest

from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES
from components.core.realism.clip import ClipFeatures
from components.core.rendering.color import to_srgb_uint8
from components.core.rendering.environments import load_environments
from components.core.rendering.scene import Renderer
from components.core.rendering.variant import mitsuba
from tests.core.rendering.meshes import mesh_of

MATERIALS, ROUNDS = 16, 3


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of wall and of processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - processor)


@pytest.mark.parametrize(("size", "spp", "maps"), [(64, 16, 64), (256, 16, 256), (512, 16, 512)])
def test_total_time_over_pure_rendering(size: int, spp: int, maps: int) -> None:
    mi = mitsuba()
    rng = np.random.default_rng(0)
    materials = [sample(CATEGORIES[i % 16], rng, maps) for i in range(MATERIALS)]
    environments = load_environments("")
    clip = ClipFeatures.load("small")
    mesh = mesh_of(size)
    renderer = Renderer(size, spp, mesh_resolution=mesh, max_depth=3)
    renderer.render(materials[0], environments[0])
    scene = renderer._sky
    assert scene is not None
    linear = rng.random((size, size, 3), np.float32)

    def total(number: int) -> None:
        image = renderer.render_srgb(
            materials[number],
            environments[number % len(environments)],
            rotation=float(number),
            seed=number,
        )
        clip.images(image[None])

    def light(number: int) -> None:
        scene.light_from(environments[-1 - number], float(number))
        scene.parameters.update()

    def shape(number: int) -> None:
        scene._wear(materials[number])
        scene.parameters.update()

    parts: dict[str, Callable[[int], object]] = {
        "total": total,
        # Each material's own scene is the reference: rough surfaces cost more than flat ones.
        "pure": lambda n: np.array(mi.render(scene.scene, seed=n, spp=spp)),
        "replayed": lambda n: scene._render(n, (materials[n].size, environments[0].radiance.shape)),
        "light": light,
        "maps and mesh": shape,
        "tone mapping": lambda _: to_srgb_uint8(linear),
        "CLIP": lambda _: clip.images(to_srgb_uint8(linear)[None]),
    }
    total(0)
    rounds = [
        [[timed(lambda: part(n)) for part in parts.values()] for n in range(MATERIALS)]  # noqa: B023
        for _ in range(ROUNDS)
    ]
    found = np.min(rounds, axis=0).mean(axis=0)  # (parts, wall and processor)
    ratio = found[0] / found[1]
    print(
        f"\n{size}², {spp} spp, maps {maps}², mesh {mesh}²: over plain mi.render {ratio[0]:.2f} by "
        f"wall time, {ratio[1]:.2f} by processor time (aim at 256²: 1.15); milliseconds:"
    )
    for name, (wall, processor) in zip(parts, found, strict=True):
        print(f"  {name:14s} wall {wall:7.1f}  processor {processor:7.1f}")
