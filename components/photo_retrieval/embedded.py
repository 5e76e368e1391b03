"""The embedded stand-in for a photo database, for runs without photographs.

These are renderings, not photographs: physically richer variants of the procedural library (time
and use, fine detail, interreflected natural light, the response of a camera) among distractors
that the search has to pass over. Their sources start with "embedded:".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES
from components.core.platform.batches import Arrays, batches
from components.core.platform.seeds import derive_seed
from components.core.realism.distractors import draw_distractor
from components.core.realism.stand_in import MAP_SCALE, detailed_renderer, stand_in
from components.core.rendering.environments import Environment
from components.core.rendering.scene import Renderer
from components.photo_retrieval.config import Config
from components.photo_retrieval.database import Database

BATCH = 64


def embedded_database(config: Config, environments: Sequence[Environment], work: Path) -> Database:
    """Renders the stand-in database; finished batches in `work` are not rendered again."""
    total = config.embedded_photographs + config.embedded_distractors
    renderer = detailed_renderer(config.rendering)

    def compute(index: int) -> Arrays:
        numbers = range(index * BATCH, min(total, (index + 1) * BATCH))
        drawn = [draw(config, renderer, environments, number) for number in numbers]
        return {
            "images": np.stack([image for image, _ in drawn]),
            "sources": np.array([source for _, source in drawn]),
        }

    done = [arrays for _, arrays in batches(work, "embedded database", -(-total // BATCH), compute)]
    return Database(
        images=np.concatenate([arrays["images"] for arrays in done]),
        sources=[str(source) for arrays in done for source in arrays["sources"]],
        rejected=[],
    )


def draw(
    config: Config, renderer: Renderer, environments: Sequence[Environment], number: int
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
