"""One process that makes shards: materials, their grids, and renderings under random light."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.core.materials.grid import pack_uint8
from components.core.materials.material import Material
from components.core.materials.prompts import is_heldout, prompt_of
from components.core.materials.shards import Sample, write_shard
from components.core.platform.seeds import derive_seed
from components.synthetic_data.plan import Maker, Plan

if TYPE_CHECKING:
    from components.core.rendering.environments import Environment
    from components.core.rendering.scene import Renderer

Shard = tuple[int, Path]
"""A shard's number and the file that it becomes."""


def prepare(plan: Plan, environments: str) -> Callable[[Shard], list[dict[str, Any]]]:
    """Returns what writes one shard and returns its lines of the index; called in the process."""
    maker, light = Maker(plan), Light(plan, environments)

    def make_shard(shard: Shard) -> list[dict[str, Any]]:
        number, file = shard
        return write_shard(file, (make_sample(plan, maker, light, n) for n in plan.numbers(number)))

    return make_shard


def make_sample(plan: Plan, maker: Maker, light: Light, number: int) -> Sample:
    """Grid, words and renderings of sample `number`."""
    material = maker.material(number).resized(plan.config.map_size)
    source = plan.place(number).source
    prompt = prompt_of(material.category, material.caption)
    words = {
        "caption": material.caption,
        "category": material.category,
        "source": source,
        # Materials that a user brings are there to be learnt from.
        "split": "test" if source == "library" and is_heldout(prompt) else "train",
    }
    words.update({name: _text(v) for name, v in material.metadata.items() if name in KEPT})
    return Sample(f"{number:08d}", pack_uint8(material), words, light.renderings(material, number))


KEPT = ("name", "licence", "authors", "page", "url")
"""What has to stay with a material whatever becomes of it."""


def _text(value: Any) -> str:
    """A name, or several, as people write them."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


class Light:
    """Renders materials under random environments; starts nothing before the first rendering."""

    def __init__(self, plan: Plan, environments: str) -> None:
        self.plan = plan
        self.folder = environments
        self._ready: tuple[Renderer, list[Environment]] | None = None

    def renderings(self, material: Material, number: int) -> list[NDArray[np.uint8]]:
        """As many renderings as the plan gives sample `number`."""
        count = self.plan.renderings(number)
        if count == 0:
            return []
        renderer, environments = self._tools()
        rng = np.random.default_rng(
            derive_seed(self.plan.config.seed, "synthetic_data", "light", str(number))
        )
        return [
            renderer.render_srgb(
                material,
                environments[int(rng.integers(len(environments)))],
                rotation=float(rng.uniform(0, 2 * np.pi)),
                seed=int(rng.integers(2**31)),
            )
            for _ in range(count)
        ]

    def _tools(self) -> tuple[Renderer, list[Environment]]:
        if self._ready is None:
            from components.core.rendering.environments import load_environments
            from components.core.rendering.scene import Renderer

            config = self.plan.config.rendering
            self._ready = Renderer(**config.model_dump()), list(load_environments(self.folder))
        return self._ready
