"""The stage from artifacts to an artifact, in one process and in two."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load_file

from components.core.errors import UserError
from components.core.platform.artifacts import new_artifact
from components.core.platform.tracking import NullTracker
from components.ddpo_lora.config import Config
from components.ddpo_lora.launch import HISTORY, train_in_processes
from components.ddpo_lora.stage import run
from components.ddpo_lora.training import Inputs
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, micro_config, micro_model
from tests.ddpo_lora.real import RENDERING, save_reward
from tests.ddpo_lora.test_metrics import Recorder
from tests.nodes import two_nodes_here


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, config = tmp_path_factory.mktemp("inputs"), Config()
    with new_artifact(folder / "model", "diffusion-model", "test", config) as place:
        micro_model().save(place)
    with new_artifact(folder / "reward", "realism-scorer", "test", config) as place:
        save_reward(place)
    with new_artifact(folder / "prompts", "prompts", "test", config) as place:
        rows = [{"prompt": p, "split": "train", "category": p.split(",")[0]} for p in PROMPTS]
        rows += [{"prompt": p, "split": "heldout", "category": "none"} for p in HELDOUT]
        (place / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {name: folder / name for name in ("model", "reward", "prompts")}


def two_processes(**changes: Any) -> Config:
    return micro_config(
        **{
            "batch_size": 4, "forward_batch": 2, "steps": 2, "epochs": 2, "rendering": RENDERING,
            "overlap": True, "strips_every": 2, **changes,
        }
    )  # fmt: skip


def rewards(artifact: Path) -> list[float]:
    """The training rewards of all epochs but the last, which is a measurement only."""
    lines = (artifact / "history.jsonl").read_text().splitlines()[:-1]
    return [json.loads(line)["train_reward"] for line in lines]


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.long)])
def test_artifacts_in_adapter_out(inputs: dict[str, Path], tmp_path: Path, processes: int) -> None:
    config = two_processes(processes=processes, render_workers=2 - processes)
    recorder = Recorder()
    run(
        config, **inputs, environments="", output=tmp_path / "lora", work=tmp_path / "work",
        tracker=recorder,
    )  # fmt: skip
    history = (tmp_path / "lora" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == [0, 1, 2]
    adapter = load_file(tmp_path / "lora" / "pytorch_lora_weights.safetensors")
    assert any(
        bool(value.any())
        for name, value in adapter.items()
        if "lora.up" in name or "lora_B" in name
    )
    assert recorder.metrics[1]["train_reward"] == json.loads(history[1])["train_reward"]
    assert "seconds/render" in recorder.metrics[0]
    assert recorder.images["strips.png"].shape[2] == 3
    assert {"strips/00000.png", "strips/00002.png"} <= set(recorder.images)
    with Image.open(tmp_path / "lora" / "strips.png") as sheet:
        assert sheet.height == recorder.images["strips.png"].shape[0]
        assert sheet.height == sum(
            recorder.images[f"strips/{epoch:05d}.png"].shape[0] for epoch in (0, 2)
        )


@pytest.mark.long
def test_two_nodes_train_as_two_processes(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures and metrics arrive from the nodes too."""
    monkeypatch.setattr("components.core.platform.processes.train_on_nodes", two_nodes_here)
    config, recorder = two_processes(processes=1, nodes=2), Recorder()
    places = {"output": tmp_path / "lora", "work": tmp_path / "key.work"}
    run(config, **inputs, environments="", **places, tracker=recorder)
    assert {"strips/00000.png", "strips/00002.png", "strips.png"} <= set(recorder.images)
    assert recorder.metrics[1]["train_reward"] == pytest.approx(rewards(tmp_path / "lora")[1])


def test_the_stage_fetches_what_its_nodes_cannot(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes see the volume alone, and what earlier stages fetched may lie on another one."""
    done: list[str] = []

    def collected(*_: object) -> Path:
        done.append("environments")
        return tmp_path

    def started(*_: object, **__: object) -> None:
        done.append("nodes")
        (tmp_path / HISTORY).write_text("[]")

    monkeypatch.setattr("components.core.catalogues.item.collect", collected)
    monkeypatch.setattr("components.ddpo_lora.launch.train_in_group", started)
    given = {name: str(path) for name, path in inputs.items()} | {"environments": "polyhaven://1"}
    train_in_processes(two_processes(nodes=2), Inputs(**given), tmp_path, NullTracker())
    assert done == ["environments", "nodes"]
    reward = tmp_path / "reward"
    reward.mkdir()
    (reward / "clip.json").write_text(json.dumps({"uri": str(tmp_path / "gone")}))
    with pytest.raises(UserError, match="gone"):
        train_in_processes(
            two_processes(nodes=2), Inputs(**given | {"reward": str(reward)}), tmp_path,
            NullTracker(),
        )  # fmt: skip
    assert done == ["environments", "nodes"]
