"""A micro run, evaluated well, and an MLflow store of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from components.core.platform.artifacts import new_artifact
from components.core.platform.tracking import quiet_mlflow
from tests.evaluation.micro import NoConfig, write_run
from tests.registry import tracking

GOOD: dict[str, Any] = {
    "before_after": {
        "difference": 0.05, "after_mean": 0.35, "ci95": [0.01, 0.09], "p_value": 0.01,
    },
    "gold": {"difference": 0.0, "after_mean": 0.4, "ci95": [-0.01, 0.02]},
    "diversity": {"before": 0.5, "after": 0.47},
    "diversity_within": {"before": 0.3, "after": 0.29},
    "clip_score": {"before": 25.0, "after": 24.5},
}  # fmt: skip


@pytest.fixture(scope="session")
def run_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The inputs of the stage `registration`: model, lora, reward, evaluation."""
    root = tmp_path_factory.mktemp("run") / "artifacts"
    folders = write_run(root)
    write_evaluation(root / "evaluation", GOOD)
    inputs = {name: folders[name] for name in ("model", "lora", "reward")}
    return {**inputs, "evaluation": root / "evaluation"}


def write_evaluation(path: Path, values: dict[str, Any], weights: str = "") -> None:
    """Write an "evaluation" artifact with these results."""
    with new_artifact(path, "evaluation", "test", NoConfig()) as folder:
        (folder / "evaluation.json").write_text(json.dumps(values))
        details = {
            "sampling": {"steps": 2, "guidance": 1.5},
            "data": {
                "licences": {"CC0-1.0": 12},
                "authors": {},
                "photographs": {"kept": 512, "embedded": 0},
                "environments": {"count": 200, "uri": "polyhaven://200"},
            },
            "seed": 7,
            "weights": weights,
        }
        (folder / "details.json").write_text(json.dumps(details))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty tracking store and registry in SQLite."""
    quiet_mlflow()
    root = tmp_path_factory.mktemp("mlflow")
    with tracking(f"sqlite:///{root}/mlflow.db"):
        mlflow.create_experiment("test", artifact_location=(root / "files").as_uri())
        mlflow.set_experiment("test")
        yield mlflow.get_tracking_uri()
