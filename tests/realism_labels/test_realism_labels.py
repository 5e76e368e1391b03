"""Hand labels spread to the rest, thresholds, and splits without a shared material."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.core.platform.tracking import NullTracker
from components.realism_labels.config import Config
from components.realism_labels.splits import split_of
from components.realism_labels.stage import image_set, label_rows, trainable, validate, write
from components.realism_labels.validation import out_of_fold, summary
from components.realism_labels.votes import hand_labels

CONFIG = Config(steps=400, learning_rate=1e-2, folds=2)


def features(count: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def rows_of(name: str, count: int) -> list[dict]:
    key = "source" if name == "photographs" else "material"
    return [{key: f"p{i}" if key == "source" else i // 3} for i in range(count)]


def test_votes_decide_by_majority_and_leave_ties_open() -> None:
    labels = ["realistic", "realistic", "unrealistic", "realistic", "unrealistic", "can't tell"]
    items = [0, 0, 0, 1, 1, 2]
    rows = [{"set": "generated", "item": i, "label": n} for i, n in zip(items, labels, strict=True)]
    assert hand_labels(rows) == {("generated", 0): 1}


def test_labels_spread_from_a_few_judgements_to_the_rest(tmp_path: Path) -> None:
    sets, truth = [], {}
    for seed, name in enumerate(("photographs", "generated")):
        x = features(400, seed)
        truth[name] = (x[:, 0] > 0).astype(int)
        votes = {(name, i): int(truth[name][i]) for i in range(0, 400, 2)}
        votes[(name, 0)] = 1 - votes[(name, 0)]  # a slip, which must be kept as judged
        sets.append(image_set(CONFIG, name, x, rows_of(name, 400), votes))
    write(CONFIG, sets, {}, output=tmp_path / "out", tracker=NullTracker())
    lines = (tmp_path / "out" / "labels.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 800
    assert pq.read_table(tmp_path / "out" / "labels.parquet").to_pylist() == rows
    for name, known in truth.items():
        mine = {row["item"]: row for row in rows if row["set"] == name}
        unseen = [i for i in mine if not mine[i]["annotated"]]
        sure = [i for i in unseen if abs(mine[i]["probability"] - 0.5) > 0.35]
        assert np.mean([mine[i]["label"] == known[i] for i in sure]) > 0.95
        assert mine[0]["label"] == 1 - known[0]
        assert mine[0]["annotated"]


def test_each_set_has_its_own_threshold() -> None:
    probability = np.array([0.1, 0.3, 0.5], np.float32)
    expected = {"photographs": [0, 1, 1], "generated": [0, 0, 1]}
    for name, labels in expected.items():
        part = image_set(CONFIG, name, features(3, 0), rows_of(name, 3), {})
        assert [row["label"] for row in label_rows(part, probability)] == labels


def test_no_material_is_in_two_splits_and_shares_are_kept() -> None:
    part = image_set(CONFIG, "generated", features(3000, 0), rows_of("generated", 3000), {})
    by_material: dict[int, set[str]] = {}
    for row, split in zip(part.rows, part.splits, strict=True):
        by_material.setdefault(row["material"], set()).add(split)
    assert all(len(splits) == 1 for splits in by_material.values())
    shares = {s: np.mean([split == s for split in part.splits]) for s in ("gold", "test")}
    assert abs(shares["gold"] - 0.3) < 0.05
    assert abs(shares["test"] - 0.2) < 0.05


def test_a_split_does_not_change_when_the_set_grows() -> None:
    assert split_of("photographs/a.jpg", 1, 0.3, 0.2) == split_of("photographs/a.jpg", 1, 0.3, 0.2)
    parts = {split_of(f"photographs/{i}", 1, 0.3, 0.2) for i in range(50)}
    assert parts == {"reward", "gold", "test"}


def test_planted_mislabels_are_found_and_probabilities_are_of_unseen_images(
    tmp_path: Path,
) -> None:
    x = features(400, 0)
    truth = (x[:, 0] > 0).astype(int)
    sure = np.flatnonzero(np.abs(x[:, 0]) > 0.5)
    groups = [row["material"] for row in rows_of("generated", 400)]
    planted = {
        int(i) for n, i in enumerate(sure) if groups[i] not in groups[: i - 2] and n % 9 == 0
    }
    votes = {("generated", i): int(truth[i] ^ (i in planted)) for i in range(400)}
    part = image_set(CONFIG, "generated", x, rows_of("generated", 400), votes)
    seen: dict[str, Any] = {}

    class Notes(NullTracker):
        def log_dict(self, values: Any, name: str) -> None:
            seen[name] = values

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            seen.update(metrics)

    validate(CONFIG, part, Notes())
    known = planted & set(trainable(part).tolist())
    assert len(known) >= 5
    assert known <= set(seen["suspects-generated.json"]["items"])
    assert len(seen["suspects-generated.json"]["items"]) <= len(known) + 5
    assert seen["generated_cv_auc"] > 0.8


def test_cross_validation_never_sees_a_material_twice() -> None:
    groups = [f"m{i // 4}" for i in range(40)]
    labels = np.array([i % 2 for i in range(40)])

    def fit(train: np.ndarray) -> Any:
        trained = {groups[i] for i in train}

        def probability(test: np.ndarray) -> np.ndarray:
            assert not trained & {groups[i] for i in test}
            return np.full(len(test), 0.5, np.float32)

        return probability

    assert (out_of_fold(groups, labels, fit) == 0.5).all()
    assert np.isnan(out_of_fold(["one"] * 40, labels, fit)).all()


def test_the_summary_is_right_where_it_is_known() -> None:
    labels = np.array([0, 0, 1, 1])
    numbers = summary(labels, np.array([0.0, 0.4, 0.3, 1.0]))
    assert numbers["cv_auc"] == pytest.approx(3 / 4)
    assert numbers["cv_brier"] == pytest.approx((0.16 + 0.49) / 4)
    assert summary(np.ones(3, int), np.ones(3)) == {}
