"""Pictures of the comparison: which pairs are shown, their renderings and their maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.core.materials.grid import to_uint8
from components.core.materials.material import Material
from components.core.realism.reward import GOLD, REWARD
from components.core.rendering.batch import SrgbRenderer
from components.core.rendering.environments import Environment
from components.evaluation.comparison import Pair, Side

SIDES = ("before", "after")


def spread(gains: npt.NDArray[np.floating], count: int) -> list[int]:
    """Indices of `count` pairs at evenly spaced ranks of gain, the best first, both ends in.

    A rule instead of a choice: nobody can pick the pretty ones.
    """
    order = np.argsort(-np.asarray(gains), kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(order[place]) for place in places]


def spread_rule(shown: int, pairs: int) -> str:
    """The sentence that the report prints above the pairs."""
    if shown == pairs:
        return f"All {pairs} pairs, from the largest gain in realism to the largest loss."
    return (
        f"{shown} of {pairs} pairs at evenly spaced ranks of their change in realism, from the "
        "largest gain to the largest loss; not picked by hand."
    )


def save_shown(
    folder: Path,
    indices: Sequence[int],
    pairs: Sequence[Pair],
    before: Side,
    after: Side,
    *,
    renderer: SrgbRenderer,
    environments: Sequence[Environment],
) -> list[dict[str, Any]]:
    """Write renderings and maps of the shown pairs; one entry each with scores and file names."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for index in indices:
        pair, light = pairs[index], pairs[index].lights[0]
        entry = describe(pair, index, before, after)
        for name, side in zip(SIDES, (before, after), strict=True):
            material = side.materials[index]
            image = renderer.render_srgb(
                material,
                environments[light.environment],
                rotation=light.rotation,
                seed=light.seed,
            )
            pictures = {"rendering": image, **map_pictures(material)}
            entry[name] = {}
            for picture, pixels in pictures.items():
                file = f"pair-{index:04d}-{name}-{picture}.png"
                Image.fromarray(pixels).save(folder / file, optimize=True)
                entry[name][picture] = file
        entries.append(entry)
    return entries


def map_pictures(material: Material) -> Mapping[str, npt.NDArray[np.uint8]]:
    """The four maps and the normals as 8-bit pictures."""
    pictures = {name: to_uint8(values) for name, values in material.maps().items()}
    return {**pictures, "normal": to_uint8(material.normal() * 0.5 + 0.5)}


def describe(pair: Pair, index: int, before: Side, after: Side) -> dict[str, Any]:
    """What pairs.jsonl says of a pair; `scores` and `gold` are [before, after]."""
    both = (before.scores, after.scores)
    return {
        "pair": index,
        "prompt": pair.prompt,
        "category": pair.category,
        "seed": pair.seed,
        "scores": [round(float(scores[REWARD][index]), 6) for scores in both],
        "gold": [round(float(scores[GOLD][index]), 6) for scores in both],
    }


def contact_sheet(folder: Path, entries: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.uint8]:
    """All shown pairs in one picture, before above after, for MLflow."""
    rows = []
    for side in SIDES:
        images = [np.asarray(Image.open(folder / entry[side]["rendering"])) for entry in entries]
        rows.append(np.concatenate(images, axis=1))
    return np.concatenate(rows, axis=0)
