"""Pictures after the paper's figures 5, 8, 9 and 11, of this run's own images and materials.

Which images are shown follows from numbers alone: the highest and lowest scores, the most similar
group, the category with most pairs. Each plate is plain data and PNG files; `plates_page` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.core.materials.material import Material
from components.core.realism.diversity import mean_pairwise_distance
from components.core.realism.reward import REWARD
from components.core.realism.scorer import LinearScorer
from components.core.rendering.batch import SrgbRenderer
from components.core.rendering.color import to_srgb_uint8
from components.core.rendering.environments import Environment
from components.evaluation.comparison import Pair, Side
from components.evaluation.metrics.diversity import vendi_score
from components.evaluation.photographs import Photographs

Floats = npt.NDArray[np.floating]
Images = npt.NDArray[np.uint8]
EACH = 4
"""Images at either end of the scores; pairs under the point light."""
ALIKE = 6
"""Similar photographs, as many as figure 8 shows in a row."""
GRID = 8
"""Materials of one category, at most."""


class PlateRenderer(SrgbRenderer, Protocol):
    """A renderer that knows a point light, too."""

    def render_point_light(self, material: Material, angle: float, *, seed: int = 0) -> Any:
        """Linear radiance (size, size, 3)."""
        ...


@dataclass(frozen=True)
class Studio:
    """What makes pictures of a run's pairs, and the folder that they go to."""

    folder: Path
    renderer: PlateRenderer
    environments: Sequence[Environment]
    pairs: Sequence[Pair]

    def rendering(self, side: Side, index: int) -> Images:
        """A material under its pair's first light."""
        light = self.pairs[index].lights[0]
        return self.renderer.render_srgb(
            side.materials[index],
            self.environments[light.environment],
            rotation=light.rotation,
            seed=light.seed,
        )

    def save(self, name: str, image: Images, caption: str) -> dict[str, str]:
        """An entry of a row; the file is called after it."""
        Image.fromarray(image).save(self.folder / f"{name}.png", optimize=True)
        return {"file": f"{name}.png", "caption": caption}


def all_plates(
    studio: Studio,
    before: Side,
    after: Side,
    photographs: Photographs,
    scorers: Mapping[str, LinearScorer],
    shown: Sequence[int],
) -> list[dict[str, Any]]:
    """{"figure", "title", "note", "rows": [{"name", "images"}]} of each.

    scorers: "with" and, where there is one, "without" total variation.
    """
    return [
        scored_images(studio, before, photographs),
        similar_photographs(studio, photographs, before, scorers),
        one_category(studio, before, after),
        point_light(studio, before, after, shown),
    ]


def scored_images(studio: Studio, before: Side, photographs: Photographs) -> dict[str, Any]:
    """Figure 5: the ends of the scores of photographs and of samples before training."""
    real, synthetic = photographs.scores, before.scores[REWARD]
    scale = scaled(np.concatenate([real, synthetic]))
    rows = []
    for name, scores in (("photographs", real), ("samples before training", synthetic)):
        order = np.argsort(-np.asarray(scores), kind="stable")
        each = min(EACH, len(order) // 2)
        for end, chosen in (("highest", order[:each]), ("lowest", order[len(order) - each :])):
            images = []
            for place, i in enumerate(map(int, chosen)):
                real_set = name == "photographs"
                image = photographs.images[i] if real_set else studio.rendering(before, i)
                file = f"fig5-{'real' if real_set else 'synthetic'}-{end}-{place}"
                images.append(studio.save(file, image, f"{scale(float(scores[i])):.2f}"))
            rows.append({"name": f"{name}, {end}", "images": images})
    note = f"Scores normalised to [0, 1] by the extremes of both sets. {photographs.note}"
    return plate("Fig. 5", "Highest and lowest realism scores", note, rows)


def similar_photographs(
    studio: Studio,
    photographs: Photographs,
    before: Side,
    scorers: Mapping[str, LinearScorer],
) -> dict[str, Any]:
    """Figure 8: photographs that look alike, scored with and without total variation."""
    group = most_alike(photographs.features, ALIKE)
    width = before.features_nld.shape[-1]
    everything = np.concatenate([photographs.features, before.features_nld.reshape(-1, width)])
    found = {}
    for name, scorer in scorers.items():
        scale = scaled(np.asarray(scorer(everything)))
        scores = np.asarray(scorer(photographs.features[group]))
        found[name] = [scale(float(score)) for score in scores]
    images = [
        studio.save(
            f"fig8-{place}", photographs.images[i],
            " · ".join(f"{name} {values[place]:.2f}" for name, values in found.items()),
        )
        for place, i in enumerate(group)
    ]  # fmt: skip
    spread = ", ".join(f"{np.std(values):.3f} {name}" for name, values in found.items())
    note = (
        "The most similar photographs by CLIP; normalised scores with and without total variation. "
        f"Standard deviation of this one group: {spread}. {photographs.note}"
    )
    rows = [{"name": "", "images": images}]
    return plate("Fig. 8", "Similar photographs, similar scores", note, rows)


def one_category(studio: Studio, before: Side, after: Side) -> dict[str, Any]:
    """Figure 9: the materials of the category with most pairs, and how diverse they are."""
    named = [pair.category for pair in studio.pairs]
    category = max(sorted(set(named)), key=named.count)
    own = [i for i, name in enumerate(named) if name == category]
    rows, words = [], []
    for name, side in (("before", before), ("after", after)):
        lights = [side.features_nld[own, i] for i in range(side.features_nld.shape[1])]
        vendi = float(np.mean([vendi_score(one) for one in lights]))
        distance = max(float(np.mean([mean_pairwise_distance(one) for one in lights])), 0.0)
        words.append(f"{name}: Vendi score {vendi:.2f} of {len(own)}, CLIP distance {distance:.3f}")
        images = [
            studio.save(f"fig9-{name}-{i}", studio.rendering(side, i), studio.pairs[i].prompt)
            for i in own[:GRID]
        ]
        rows.append({"name": name, "images": images})
    return plate("Fig. 9", f"Diversity of one category: {category}", "; ".join(words) + ".", rows)


def point_light(studio: Studio, before: Side, after: Side, shown: Sequence[int]) -> dict[str, Any]:
    """Figure 11: renderings under one point light, where baked-in light would stand out."""
    rows = []
    for name, side in (("before", before), ("after", after)):
        images = []
        for i in shown[:EACH]:
            linear = studio.renderer.render_point_light(side.materials[i], np.pi / 2, seed=i)
            images.append(
                studio.save(f"fig11-{name}-{i}", to_srgb_uint8(linear), studio.pairs[i].prompt)
            )
        rows.append({"name": name, "images": images})
    note = (
        "One lamp above the top edge. MatFuse and ReflectanceFusion are no part of a run: "
        "realmat evaluate --external sets their materials beside these."
    )
    return plate("Fig. 11", "Under one point light", note, rows)


def most_alike(features_nd: Floats, count: int) -> list[int]:
    """A row and its nearest ones by cosine, of all such groups the one that lies closest."""
    count = min(count, len(features_nd))
    cosines = np.asarray(features_nd, np.float64) @ np.asarray(features_nd, np.float64).T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    last = cosines[np.arange(len(order)), order[:, -1]]
    return [int(i) for i in order[int(np.argmax(last))]]


class scaled:  # noqa: N801 - reads as a function
    """Maps the smallest of some scores to 0 and the largest to 1."""

    def __init__(self, scores: Floats) -> None:
        self.low, self.span = float(scores.min()), max(float(np.ptp(scores)), 1e-9)

    def __call__(self, score: float) -> float:
        return (score - self.low) / self.span


def plate(figure: str, title: str, note: str, rows: Sequence[Any]) -> dict[str, Any]:
    """A plate as plain data; a row is {"name", "images": [{"file", "caption"}]}."""
    return {"figure": figure, "title": title, "note": note, "rows": list(rows)}
