"""One process that makes shards: materials, their grids, and renderings under random light.

A sample that cannot be made is tried again, then left out with its reason; one that takes the
process down costs its shard a retry (`shard_making`).
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.core.errors import UserError
from components.core.materials.grid import pack_uint8
from components.core.materials.material import Material
from components.core.materials.prompts import is_heldout, prompt_of
from components.core.materials.shards import Sample, ShardWriter
from components.core.platform.full_disk import naming_full_disk
from components.core.platform.seeds import derive_seed
from components.synthetic_data.plan import Maker, Plan

if TYPE_CHECKING:
    from components.core.rendering.environments import Environment
    from components.core.rendering.scene import Renderer

ATTEMPTS = 2
"""How often a sample is tried in all."""
Lines = list[dict[str, Any]]

log = logging.getLogger(__name__)


class Shard(NamedTuple):
    """A shard's number, the file that it becomes, and samples that are not to be tried, each with
    the reason."""

    number: int
    file: Path
    left_out: Mapping[int, str]


def prepare(
    plan: Plan, environments: Sequence[Path]
) -> Callable[[Shard], Generator[int, None, Lines]]:
    """Returns what writes one shard, sample by sample, whose numbers it yields, and returns its
    lines of the index: {"key", "failed"} for a sample that it lacks. Called in the process."""
    importlib.import_module("webdataset")  # takes seconds, which are the start's, not a sample's
    maker, light = Maker(plan), Light(plan, environments)
    if plan.config.renderings:
        light.load()  # as do the environments

    def make_shard(shard: Shard) -> Generator[int, None, Lines]:
        failed = dict(shard.left_out)
        with (
            naming_full_disk(shard.file.parent, " while writing grids"),
            ShardWriter(shard.file) as writer,
        ):
            for number in plan.numbers(shard.number):
                if number in failed:
                    continue
                yield number
                made = tried(lambda: make_sample(plan, maker, light, number))  # noqa: B023
                if isinstance(made, Sample):
                    writer.add(made)
                else:
                    failed[number] = made
            lines = writer.finish()
        return [*lines, *({"key": key_of(n), "failed": failed[n]} for n in sorted(failed))]

    return make_shard


def tried(make: Callable[[], Sample]) -> Sample | str:
    """The sample, or why there is none; what is the user's to mend goes on."""
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            return make()
        except UserError:
            raise
        except Exception as error:
            log.exception("a sample could not be made")
            reason = f"{type(error).__name__}: {error}"
    return reason


def key_of(number: int) -> str:
    """The key of sample `number` in its shard."""
    return f"{number:08d}"


def make_sample(plan: Plan, maker: Maker, light: Light, number: int) -> Sample:
    """Grid, words and renderings of sample `number`."""
    material = maker.material(number).resized(plan.config.map_size)
    source = plan.source(plan.place(number))
    prompt = prompt_of(material.category, material.caption)
    words = {
        "caption": material.caption,
        "category": material.category,
        "source": source.name,
        "split": "test" if source.own and is_heldout(prompt) else "train",
    }
    words.update({name: text_of(v) for name, v in material.metadata.items() if name in KEPT})
    return Sample(key_of(number), pack_uint8(material), words, light.renderings(material, number))


KEPT = ("name", "licence", "authors", "page", "url")
"""What has to stay with a material whatever becomes of it."""


def text_of(value: Any) -> str:
    """A name, or several, as people write them."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


class Light:
    """Renders materials under random environments, which the first rendering or `load` loads."""

    def __init__(self, plan: Plan, environments: Sequence[Path]) -> None:
        self.plan = plan
        self.places = environments
        self._ready: tuple[Renderer, list[Environment]] | None = None

    def renderings(self, material: Material, number: int) -> list[NDArray[np.uint8]]:
        """As many renderings as the plan gives sample `number`."""
        count = self.plan.renderings(number)
        if count == 0:
            return []
        renderer, environments = self.load()
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

    def load(self) -> tuple[Renderer, list[Environment]]:
        """The renderer and what it renders under."""
        if self._ready is None:
            from components.core.rendering.environments import environments_in
            from components.core.rendering.scene import Renderer

            config = self.plan.config.rendering
            self._ready = Renderer(**config.model_dump()), environments_in(self.places).environments
        return self._ready
