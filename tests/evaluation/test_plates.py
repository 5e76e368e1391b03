"""Which pictures are shown follows from numbers alone: planted ones are found, and only they."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.core.materials.material import Material
from components.core.rendering.batch import Light
from components.evaluation.comparison import Pair, Side
from components.evaluation.photographs import Photographs
from components.evaluation.plates import (
    ALIKE,
    EACH,
    GRID,
    Studio,
    most_alike,
    one_category,
    point_light,
    scored_images,
    similar_photographs,
)
from tests.evaluation.micro import FlatRenderer, environments


def unit(features: Any) -> Any:
    return features / np.linalg.norm(features, axis=-1, keepdims=True)


def flat(level: float) -> Material:
    """A material of one grey: its pictures tell which one was rendered."""
    grey = np.full((4, 4), 0.5, np.float32)
    return Material(np.full((4, 4, 3), level, np.float32), grey, grey, 0 * grey, "", "brick")


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    """Twelve pairs: seven of wood, five of brick, in turns as far as it goes."""
    names = ["wood", "brick"] * 5 + ["wood"] * 2
    pairs = [Pair(f"{n}, {i}", n, i, (Light(1, 0.0, i),)) for i, n in enumerate(names)]
    return Studio(tmp_path, FlatRenderer(), environments(), pairs)


def side(scores: Any, features: Any = None) -> Side:
    count = len(scores)
    rng = np.random.default_rng(0)
    found = unit(rng.normal(size=(count, 1, 8)) if features is None else features)
    materials = [flat(i / count) for i in range(count)]
    return Side(materials, found, {"reward": np.asarray(scores)}, np.zeros(count), np.ones(count))


def photographs(scores: Any, features: Any = None) -> Photographs:
    count = len(scores)
    images = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    rng = np.random.default_rng(1)
    found = unit(rng.normal(size=(count, 8)) if features is None else features)
    return Photographs(images, found, np.asarray(scores), "Of the test split.")


def shade(folder: Path, image: dict[str, str]) -> int:
    return int(np.asarray(Image.open(folder / image["file"]))[0, 0, 0])


def test_figure_5_shows_the_ends_of_both_sets(studio: Studio) -> None:
    real = np.random.default_rng(2).permutation(np.linspace(0.5, 1.0, 20))
    synthetic = np.random.default_rng(3).permutation(np.linspace(0.0, 0.6, 12))
    plate = scored_images(studio, side(synthetic), photographs(real))
    rows = {row["name"]: row["images"] for row in plate["rows"]}
    order = np.argsort(-real)
    assert [shade(studio.folder, one) for one in rows["photographs, highest"]] == [*order[:EACH]]
    assert [shade(studio.folder, one) for one in rows["photographs, lowest"]] == [*order[-EACH:]]
    assert rows["photographs, highest"][0]["caption"] == "1.00"
    assert rows["samples before training, lowest"][-1]["caption"] == "0.00"
    greys = [int(255 * i / 12) for i in np.argsort(-synthetic)[:EACH]]
    shown = [shade(studio.folder, one) for one in rows["samples before training, highest"]]
    assert shown == greys
    assert "Of the test split." in plate["note"]


def test_figure_8_shows_the_group_that_lies_closest(studio: Studio) -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(30, 8))
    planted = [3, 7, 8, 15, 22, 29]
    features[planted] = features[3] + 0.01 * rng.normal(size=(ALIKE, 8))
    assert sorted(most_alike(unit(features), ALIKE)) == planted
    scorers: Any = {
        "with": lambda rows: np.zeros(len(rows)) + np.linspace(0, 1, len(rows)) * (len(rows) > 9),
        "without": lambda rows: np.arange(len(rows)) / 100.0,
    }
    plate = similar_photographs(
        studio, photographs(np.zeros(30), features), side([0.0] * 12), scorers
    )
    (row,) = plate["rows"]
    assert sorted(shade(studio.folder, one) for one in row["images"]) == planted
    assert "0.000 with" in plate["note"]
    # Six steps of 1 / 41 of the range of all 42 scores.
    assert f"{np.std(np.arange(6) / 41):.3f} without" in plate["note"]


def test_a_group_is_never_larger_than_the_set() -> None:
    assert sorted(most_alike(np.eye(3), 6)) == [0, 1, 2]


def test_figure_9_shows_the_category_with_most_pairs_and_a_collapse(studio: Studio) -> None:
    rng = np.random.default_rng(5)
    same = np.tile(rng.normal(size=(1, 1, 8)), (12, 1, 1))
    plate = one_category(studio, side([0.0] * 12), side([0.0] * 12, same))
    assert plate["title"].endswith(": wood")
    assert [len(row["images"]) for row in plate["rows"]] == [min(GRID, 7)] * 2
    assert all(one["caption"].startswith("wood") for row in plate["rows"] for one in row["images"])
    assert "after: Vendi score 1.00 of 7, CLIP distance 0.000" in plate["note"]


def test_figure_11_shows_the_same_pairs_under_one_lamp(studio: Studio) -> None:
    plate = point_light(studio, side([0.0] * 12), side([0.0] * 12), [9, 1, 5, 0, 2, 3])
    for row in plate["rows"]:
        assert [one["caption"] for one in row["images"]] == [
            studio.pairs[i].prompt for i in (9, 1, 5, 0)
        ]
