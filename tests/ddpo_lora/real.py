"""The real reward at its smallest: 24 px renderings, the shipped CLIP, random scorers."""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from components.core.platform.config_types import Rendering
from components.core.realism.clip import ClipFeatures
from components.core.realism.reward import RealismReward
from components.core.realism.scorer import LinearScorer
from components.core.rendering.environments import load_environments
from components.core.rendering.scene import Renderer

RENDERING = Rendering(size=24, spp=2, mesh_resolution=8)


@functools.cache
def features() -> ClipFeatures:
    return ClipFeatures.load("small", batch=64)


def scorers() -> dict[str, LinearScorer]:
    rng = np.random.default_rng(0)
    dimension = features().dimension
    return {
        name: LinearScorer(rng.normal(size=dimension).astype(np.float32), 0.1)
        for name in ("reward", "gold")
    }


@functools.cache
def real_reward() -> RealismReward:
    renderer: Any = Renderer(**RENDERING.model_dump())
    return RealismReward(renderer, load_environments(""), features(), scorers())


def save_reward(folder: Path, *, dimension: int | None = None) -> None:
    """What `load_reward` opens; `dimension` other than CLIP's own makes it useless."""
    for name, scorer in scorers().items():
        weight = scorer.weight if dimension is None else np.ones(dimension, np.float32)
        LinearScorer(weight, 0.0).save(folder / name)
    (folder / "clip.json").write_text('{"uri": "small"}', encoding="utf-8")
