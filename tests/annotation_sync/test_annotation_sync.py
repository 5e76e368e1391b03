"""Judgements are asked for, enough of them, and written with their author."""

import json
from pathlib import Path

import numpy as np
import pytest

from components.annotation_sync.config import Config
from components.annotation_sync.stage import run
from components.core.errors import UserError
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.tracking import NullTracker


def make_inputs(folder: Path, count: int = 12) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    kinds = {
        "photographs": ("photographs", "images.npy"),
        "generated": ("generated-materials", "renderings.npy"),
    }
    for name, (kind, images) in kinds.items():
        with new_artifact(folder / name, kind, "test", Config()) as inside:
            np.save(inside / images, rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))
            row = json.dumps({"category": "brick", "source": "x", "material": 0}) + "\n"
            (inside / "index.jsonl").write_text(row * count)
    return {name: folder / name for name in kinds}


def sync(config: Config, folder: Path) -> list[dict]:
    inputs = make_inputs(folder)
    run(config, **inputs, output=folder / "out", work=folder / "work", tracker=NullTracker())
    path = open_artifact(folder / "out", "annotations") / "annotations.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_simulated_annotator_judges_a_sample_of_both_sets(tmp_path: Path) -> None:
    config = Config(source="simulated", items_per_set=8, minimum_annotations=4)
    rows = sync(config, tmp_path / "a")
    for name in ("photographs", "generated"):
        items = [row["item"] for row in rows if row["set"] == name]
        assert len(set(items)) == len(items) == 8
    assert {row["annotator"] for row in rows} == {"simulated annotator"}
    assert rows == sync(config, tmp_path / "b")


def test_label_studio_without_settings_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="LABEL_STUDIO_URL"):
        sync(Config(source="label_studio"), tmp_path)
    assert not (tmp_path / "out").exists()


def test_too_few_judgements_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody:
        def push(self, tasks: list) -> int:
            return len(tasks)

        def pull(self, tasks: list) -> list:
            return []

    monkeypatch.setattr("components.annotation_sync.stage.make_source", lambda config: Nobody())
    with pytest.raises(UserError, match="0 of 12 images of the set 'photographs'"):
        sync(Config(), tmp_path)
