"""Scores of similar images with and without total variation (`make bench`): section 6.3.

The data engine runs with the laptop recipe's settings on real photographs, where they are present,
and on the procedural set. A group of similar images is a photograph and its four nearest ones, of
its own kind where kinds are known; `kinds` are all test photographs of a kind. Beside the standard
deviation stands what is left of the effect when the score is divided by its range over the test
split, which a mere shrinking of the score would leave as it is.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from components.core.platform.tracking import NullTracker
from components.core.realism.linear import auc
from components.core.realism.scorer import LinearScorer
from components.reward_training.stage import Labelled, read_labelled, train
from components.reward_training.variation import nearest
from pipelines.recipe import load_recipe
from tests.engine import Engine
from tests.photographs import kind_of, photograph_folder

SETTINGS = [
    "photo_embedding.embedded_photographs=480", "photo_embedding.embedded_distractors=0",
    "photo_retrieval.per_category=100", "photo_retrieval.depth=800",
    "photo_retrieval.other_prompts=[]",
]  # fmt: skip
GROUP = 5
WEIGHTS = (0.0, 10.0, 100.0, 1000.0)


@pytest.mark.parametrize("photos", ["real", "procedural"])
def test_similar_images_have_similar_scores(photos: str, tmp_path: Path) -> None:
    recipe = load_recipe("laptop", SETTINGS)
    engine = Engine(recipe, tmp_path, str(photograph_folder()) if photos == "real" else "")
    engine.until_labels()
    data = read_labelled(engine.artifact("realism_labels"))
    lines = (engine.artifact("photo_retrieval") / "index.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    key = [kind_of(r["source"]) if photos == "real" else str(r["category"]) for r in rows]
    shown = data.photograph & (data.split == "test")
    features = data.features[shown]
    kinds = np.array([key[item] for item in data.item[shown]])
    print(f"\n{photos}: {data.photograph.sum()} photographs, {(~data.photograph).sum()} generated")
    for weight in WEIGHTS:
        scorer = train(
            recipe.reward_training, data, None, "reward", weight, "reward", NullTracker()
        )
        print(f"lambda 2 = {weight:g}: {measured(scorer, data, features, kinds)}")


def measured(
    scorer: LinearScorer, data: Labelled, features: NDArray[np.float32], kinds: NDArray[np.str_]
) -> str:
    """What is reported of a scorer, in words."""
    test = data.split == "test"
    scores = scorer(data.features[test])
    span = float(np.ptp(scores))
    own = scorer(features)
    near = float(np.mean([own[group].std() for group in neighbours(features, kinds)]))
    whole = float(np.mean([own[group].std() for group in members(kinds)]))
    real, label = data.photograph[test], data.label[test] == 1
    of_sets, of_labels = auc(scores[real], scores[~real]), auc(scores[label], scores[~label])
    return (
        f"std of similar {near:.4f} ({near / span:.4f} of the range {span:.2f}), of kinds "
        f"{whole:.4f} ({whole / span:.4f}); AUC of photographs against generated "
        f"{of_sets:.4f}, of labels {of_labels:.4f}"
    )


def members(kinds: NDArray[np.str_]) -> list[NDArray[np.int64]]:
    """Rows of each kind that has enough of them."""
    found = defaultdict(list)
    for row, kind in enumerate(kinds.tolist()):
        found[kind].append(row)
    return [np.array(rows) for rows in found.values() if len(rows) >= GROUP]


def neighbours(features: NDArray[np.float32], kinds: NDArray[np.str_]) -> list[NDArray[np.int64]]:
    """Rows of each image and of its nearest ones within its kind."""
    return [
        rows[np.concatenate([[place], near])]
        for rows in members(kinds)
        for place, near in enumerate(nearest(features[rows], GROUP - 1))
    ]
