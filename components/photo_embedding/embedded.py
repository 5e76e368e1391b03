"""The embedded stand-in for a photo database, for runs without photographs.

These are renderings, not photographs: physically richer variants of the procedural library (time
and use, fine detail, interreflected natural light, the response of a camera) among distractors
that the search has to pass over. Their sources start with "embedded:".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES
from components.core.materials.photo_chunks import Decoded
from components.core.platform.seeds import derive_seed
from components.core.realism.distractors import draw_distractor
from components.core.realism.stand_in import MAP_SCALE, detailed_renderer, stand_in
from components.core.rendering.environments import Environment, load_environments
from components.core.rendering.scene import Renderer
from components.photo_embedding.config import Config

BATCH = 32
"""Images a job: few enough for the processes to end together."""


def batches_of(config: Config) -> list[range]:
    """The numbers of the images of each batch."""
    total = config.embedded_photographs + config.embedded_distractors
    return [range(start, min(total, start + BATCH)) for start in range(0, total, BATCH)]


def drawer(config: Config, environments: str) -> Callable[[range], Decoded]:
    """Returns what draws a batch; called in the process, since drawing keeps a core busy alone.

    environments: folder of the light, "" for the embedded ones.
    """
    light = load_environments(environments)
    renderer = detailed_renderer(config.rendering)

    def make(numbers: range) -> Decoded:
        drawn = [draw(config, renderer, light, number) for number in numbers]
        return Decoded(np.stack([image for image, _ in drawn]), [name for _, name in drawn], [])

    return make


def draw(
    config: Config, renderer: Renderer, environments: list[Environment], number: int
) -> tuple[NDArray[np.uint8], str]:
    """Item `number` of the database, which depends on nothing but the seed: (image, source)."""
    rng = np.random.default_rng(derive_seed(config.seed, "embedded database", str(number)))
    size = config.rendering.size
    if number >= config.embedded_photographs:
        image, caption = draw_distractor(rng, size)
        return image, f"embedded:distractor/{number:05d} ({caption})"
    category = CATEGORIES[number % len(CATEGORIES)]
    material = sample(category, rng, MAP_SCALE * size)
    environment = environments[int(rng.integers(len(environments)))]
    image = stand_in(material, renderer, environment, rng)
    return image, f"embedded:rendering/{number:05d} ({material.caption})"
