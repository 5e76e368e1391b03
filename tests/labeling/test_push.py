"""`realmat label push`: the recipe's settings reach the project, and the first order is made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.annotation_sync.config import Config
from components.annotation_sync.stage import FOLDERS
from components.core.platform.artifacts import new_artifact
from labeling import label_studio
from labeling.address import Address
from labeling.annotations import SETS, Judgements, Task
from pipelines.cli import main


class Project:
    """Writes down what it is asked."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}
        self.pushed: list[Task] = []
        self.scores: list[float] = []

    def connect(self, address: Address, **settings: Any) -> Project:
        self.made = {"project": address.project, **settings}
        return self

    def push(self, tasks: Sequence[Task]) -> int:
        self.pushed = list(tasks)
        return len(tasks)

    def pull(self, tasks: Sequence[Task]) -> Judgements:
        return Judgements()

    def order(self, tasks: Sequence[Task], scores: Sequence[float], version: str) -> None:
        self.scores, self.version = list(scores), version


def test_overlap_title_and_order_are_the_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, project = np.random.default_rng(0), Project()
    stages = ("photo_retrieval", "material_sampling")
    for name, stage in zip(SETS, stages, strict=True):
        kind, images = FOLDERS[name]
        with new_artifact(tmp_path / "store" / stage / "key", kind, "test", Config()) as folder:
            np.save(folder / images, rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8))
            row = json.dumps({"category": "brick", "material": 0}) + "\n"
            (folder / "index.jsonl").write_text(20 * row, encoding="utf-8")
    monkeypatch.setattr(label_studio, "connect", project.connect)
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:1")
    settings = ["overlap=0.35", "project=Of the recipe", "items_per_set=10", "random_share=0.3"]
    given = [f"--set=annotation_sync.{setting}" for setting in settings]
    assert main(["label", "push", "smoke", "--output", str(tmp_path), *given]) == 0
    assert project.made["overlap"] == 0.35
    assert project.made["project"] == "Of the recipe"
    assert len(project.pushed) == len(set(project.scores)) == 20
    assert project.version == "after 0 judgements"
    random = sorted(
        score for task, score in zip(project.pushed, project.scores, strict=True) if task.random
    )
    assert len(random) == 2 * 3
    assert random[0] < np.median(project.scores) < random[-1]  # spread through the order
