"""The data engine on real photographs, where they are present: search, labels, reward, prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.core.materials.material import CATEGORIES
from components.core.materials.prompts import is_heldout
from components.core.platform.artifacts import open_artifact
from components.core.realism.distractors import KINDS
from pipelines.recipe import load_recipe
from tests.engine import Engine
from tests.photographs import CATEGORIES_OF, kind_of, photograph_folder

OF_A_KIND = 8
COPIES = 12
SETTINGS = [
    "photo_retrieval.per_category=40", "photo_retrieval.depth=300",
    "photo_retrieval.duplicate_similarity=0.985",
    "annotation_sync.items_per_set=64", "annotation_sync.label_noise=0.06",
    "reward_training.steps=1000",
]  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Photographs of every kind among distractors, copies and a file that was cut off."""
    given, root = photograph_folder(), tmp_path_factory.mktemp("engine")
    photos = root / "photos"
    files = [f for kind in sorted(given.iterdir()) for f in sorted(kind.iterdir())[:OF_A_KIND]]
    for file in files:
        place = photos / file.parent.name / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file)
    (photos / "Copy").mkdir()
    for file in files[:: len(files) // COPIES][:COPIES]:
        name = f"{file.parent.name}-{file.name}"
        Image.open(file).resize((120, 120)).save(photos / "Copy" / name, quality=90)
    (photos / "Cut").mkdir()
    (photos / "Cut" / "001.jpg").write_bytes(files[0].read_bytes()[:900])
    (photos / "None").mkdir()
    for number, draw in enumerate([*KINDS.values()] * 4):
        picture = draw(np.random.default_rng(number), 128)
        Image.fromarray(picture).save(photos / "None" / f"{number:03d}.png")
    made = Engine(load_recipe("smoke", SETTINGS), root, str(photos))
    made.until_labels()
    made.reward()
    made.prompts()
    return made


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_search_finds_materials_and_passes_over_the_rest(engine: Engine) -> None:
    folder = open_artifact(engine.artifact("photo_retrieval"), "photographs")
    kept, rejected = lines(folder / "index.jsonl"), lines(folder / "rejected.jsonl")
    assert [row["source"] for row in rejected] == ["Cut/001.jpg"]
    kinds = [kind_of(row["source"]) for row in kept]
    # 28 of 278 images show no material: far fewer of what is kept.
    assert kinds.count("None") / len(kept) < 0.03
    known = [CATEGORIES_OF[kind] for kind in kinds if CATEGORIES_OF.get(kind)]
    fitting = [row["category"] in CATEGORIES_OF.get(kind_of(row["source"]), ()) for row in kept]
    by_chance = sum(map(len, known)) / len(CATEGORIES)
    assert len(known) > 60
    assert sum(fitting) > 1.5 * by_chance


def test_of_a_photograph_and_its_copy_one_is_kept(engine: Engine) -> None:
    sources = {r["source"] for r in lines(engine.artifact("photo_retrieval") / "index.jsonl")}
    copies = list((Path(engine.photos) / "Copy").iterdir())
    both = [
        copy for copy in copies if {f"Copy/{copy.name}", copy.name.replace("-", "/")} <= sources
    ]
    assert len(copies) == COPIES
    assert len(both) <= 1


def test_the_reward_prefers_photographs_to_the_small_models_renderings(engine: Engine) -> None:
    folder = open_artifact(engine.artifact("reward_training"), "realism-scorer")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["holdout_auc"] > 0.8
    assert metrics["gold"]["holdout_auc"] > 0.8
    assert metrics["real_mean"] > metrics["synthetic_mean"]
    assert metrics["tv"]["std_with"] < metrics["tv"]["std_without"]


def test_prompts_are_chosen_by_it(engine: Engine) -> None:
    rows = lines(open_artifact(engine.artifact("prompt_selection"), "prompts") / "prompts.jsonl")
    train = [row for row in rows if row["split"] == "train"]
    assert len(train) == engine.recipe.prompt_selection.train_prompts
    assert len({row["mean_score"] for row in train}) > 1
    assert {row["category"] for row in rows} <= set(CATEGORIES)
    assert {is_heldout(row["prompt"]) for row in train} == {False}
    assert {is_heldout(row["prompt"]) for row in rows if row["split"] == "heldout"} == {True}
