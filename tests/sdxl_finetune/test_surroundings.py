"""What a training meets outside of its numbers: a full disk, a large model, one with dropout."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from components.core.diffusion.model import TextToImage, load_model
from components.core.errors import UserError
from components.core.platform.tracking import NullTracker
from components.sdxl_finetune.checkpoint import checkpoints
from components.sdxl_finetune.stage import run
from tests.sdxl_finetune.recorder import Recorder
from tests.sdxl_finetune.test_training import tiny


def test_a_full_disk_leaves_the_checkpoint_of_before(
    base_model: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(base_model, iterations=4)
    places: dict[str, Any] = {"dataset": [dataset], "output": tmp_path / "model"}
    saved = tmp_path / "work" / "checkpoints"

    def save(tensors: dict[str, torch.Tensor], path: str, metadata: dict[str, str]) -> None:
        if checkpoints(saved):
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        save_file(tensors, path, metadata)

    monkeypatch.setattr("components.sdxl_finetune.checkpoint.save_file", save)
    told = rf"disk of {saved} at step 4: free .*; the checkpoint of step 2 stays in {saved}"
    with pytest.raises(UserError, match=told):
        run(config, **places, work=tmp_path / "work", tracker=NullTracker())
    monkeypatch.undo()
    again = Recorder()
    run(config, **places, work=tmp_path / "work", tracker=again)
    assert [step for step, _ in again.rows] == [3, 4]


def test_a_model_is_loaded_once(
    base_model: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the cache's key, for training, and for the result: 14 GB of SDXL."""
    loaded: list[str] = []

    def load(uri: str, device: str = "cpu") -> TextToImage:
        loaded.append(uri)
        return load_model(uri, device)

    for module in ("stage", "worker"):
        monkeypatch.setattr(f"components.sdxl_finetune.{module}.load_model", load)
    run(
        tiny(base_model, iterations=1), dataset=[dataset], output=tmp_path / "model",
        work=tmp_path / "work", tracker=NullTracker(),
    )  # fmt: skip
    assert loaded == [str(base_model)]


def test_dropout_is_refused(base_model: Path, dataset: Path, tmp_path: Path) -> None:
    """Its random numbers would not be those of a training that is not interrupted."""
    shutil.copytree(base_model, tmp_path / "base")
    file = tmp_path / "base" / "unet" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"dropout": 0.1}))
    with pytest.raises(UserError, match=r'base has dropout \(0\.1\).* set "dropout" to 0'):
        run(
            tiny(tmp_path / "base"), dataset=[dataset], output=tmp_path / "model",
            work=tmp_path / "work", tracker=NullTracker(),
        )  # fmt: skip
