"""The comparison itself: the same prompts, seeds and lights, without and with the adapter.

As in the paper's first study (section 6.2) the two materials of a pair differ in nothing but the
reinforcement learning. Each prompt draws its own lights, which its seeds share: the clusters that
the statistics resample are then independent in everything, and the diversity within a prompt is
not that of its lights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.materials.material import CATEGORIES, Material
from components.core.platform.seeds import derive_seed
from components.core.realism.clip import ClipFeatures
from components.core.realism.diversity import mean_pairwise_distance
from components.core.realism.reward import GOLD, REWARD
from components.core.realism.scorer import LinearScorer
from components.core.rendering.batch import Light, SrgbRenderer, Wrap, draw_lights, render_batch
from components.core.rendering.environments import Environment
from components.evaluation.statistics import (
    diversity_within,
    paired_difference,
)

Floats = npt.NDArray[np.floating]
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """What the two materials of a pair have in common."""

    prompt: str
    category: str
    seed: int
    lights: tuple[Light, ...]


@dataclass(frozen=True)
class Side:
    """One side of N pairs under L lights, and what was measured on it."""

    materials: Sequence[Material]
    features_nld: Floats
    scores: Mapping[str, Floats]
    """(N,) mean over the lights, by scorer."""
    clip_score_n: Floats
    """(N,) 100 times the cosine of image and prompt, at least 0, mean over the lights."""
    recognised_n: Floats
    """(N,) share of the lights under which CLIP finds the pair's category among all 16."""


def make_pairs(
    prompts: Sequence[Mapping[str, Any]],
    *,
    count: int,
    seeds_per_prompt: int,
    lights: int,
    environments: int,
    seed: int,
) -> list[Pair]:
    """Pairs of `count` prompts drawn over all categories in turn, `seeds_per_prompt` each."""
    rng = np.random.default_rng(derive_seed(seed, "evaluation", "pairs"))
    pairs = []
    for row in _balanced(prompts, count, rng):
        drawn = tuple(draw_lights(lights, environments, rng))
        for number in range(seeds_per_prompt):
            sample_seed = derive_seed(seed, "evaluation", row["prompt"], str(number))
            pairs.append(Pair(row["prompt"], row["category"], sample_seed, drawn))
    return pairs


def _balanced(
    prompts: Sequence[Mapping[str, Any]], count: int, rng: np.random.Generator
) -> list[Mapping[str, Any]]:
    queues: dict[str, list[Mapping[str, Any]]] = {}
    for i in rng.permutation(len(prompts)):
        queues.setdefault(prompts[i]["category"], []).append(prompts[i])
    rounds = max((len(queue) for queue in queues.values()), default=0)
    names = sorted(queues)
    ordered = [queues[n][turn] for turn in range(rounds) for n in names if turn < len(queues[n])]
    return ordered[:count]


def measure(
    pairs: Sequence[Pair],
    materials: Sequence[Material],
    *,
    renderer: SrgbRenderer,
    environments: Sequence[Environment],
    features: ClipFeatures,
    scorers: Mapping[str, LinearScorer],
    progress: Wrap = lambda indices: indices,
) -> Side:
    """Render one side under its pairs' lights and score it."""
    count, per_pair = len(pairs), len(pairs[0].lights)
    images = render_batch(
        renderer,
        [material for material in materials for _ in range(per_pair)],
        environments,
        [light for pair in pairs for light in pair.lights],
        progress=progress,
    )
    image_md = features.images(images)
    text_nd = features.texts([pair.prompt for pair in pairs])
    features_nld = image_md.reshape(count, per_pair, -1)
    cosine_nl = np.einsum("nld,nd->nl", features_nld, text_nd)
    named_nl = features.zero_shot(image_md, CATEGORIES).reshape(count, per_pair)
    wanted_n = np.array([CATEGORIES.index(pair.category) for pair in pairs])
    return Side(
        materials=materials,
        features_nld=features_nld,
        scores={
            name: np.asarray(scorer(image_md)).reshape(count, per_pair).mean(axis=1)
            for name, scorer in scorers.items()
        },
        clip_score_n=100.0 * np.maximum(cosine_nl, 0.0).mean(axis=1),
        recognised_n=(named_nl == wanted_n[:, None]).mean(axis=1),
    )


def compare(
    pairs: Sequence[Pair], before: Side, after: Side, *, seed: int, resamples: int
) -> dict[str, Any]:
    """The keys `before_after`, `gold`, `clip_score`, `diversity` of report.json, and more.

    `diversity` is the mean CLIP distance (1 - cosine) over all pairs of materials, computed light
    by light; `diversity_within` only over materials of one prompt (absent with one seed a prompt).
    `recognised` is the share of renderings whose category CLIP names rightly, zero-shot.
    """
    clusters = [pair.prompt for pair in pairs]
    result: dict[str, Any] = {}
    for key, scorer in (("before_after", REWARD), ("gold", GOLD)):
        if scorer in before.scores:
            result[key] = paired_difference(
                before.scores[scorer],
                after.scores[scorer],
                clusters,
                seed=derive_seed(seed, "evaluation", key),
                resamples=resamples,
            ).as_dict()
    sides = {"before": before, "after": after}
    result["clip_score"] = {n: float(side.clip_score_n.mean()) for n, side in sides.items()}
    result["recognised"] = {n: float(side.recognised_n.mean()) for n, side in sides.items()}
    result["diversity"] = {n: _diversity(side.features_nld) for n, side in sides.items()}
    within = {n: _diversity_within(side.features_nld, clusters) for n, side in sides.items()}
    if None not in within.values():
        result["diversity_within"] = within
    return result


def _diversity(features_nld: Floats) -> float:
    lights = range(features_nld.shape[1])
    return float(np.mean([mean_pairwise_distance(features_nld[:, i]) for i in lights]))


def _diversity_within(features_nld: Floats, clusters: Sequence[str]) -> float | None:
    lights = range(features_nld.shape[1])
    values = [diversity_within(features_nld[:, i], clusters) for i in lights]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
