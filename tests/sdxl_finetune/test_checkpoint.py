"""Checkpoints without pickle, complete or invisible."""

import json
from pathlib import Path

import torch

from components.sdxl_finetune.checkpoint import NEWEST, SafetensorsCheckpoints, publish


def test_nested_state_round_trip(tmp_path: Path) -> None:
    state = {
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.randn(2, 3).bfloat16()}},
        "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "fused": None, "params": [0, 1]}],
        "shape": torch.Size([2, 3]),
        "engine": object(),  # DeepSpeed stores such objects; they are rebuilt, not loaded
    }
    path = str(tmp_path / "state.pt")
    SafetensorsCheckpoints().save(state, path)
    loaded = SafetensorsCheckpoints().load(path)
    assert "engine" not in loaded
    assert loaded["param_groups"] == state["param_groups"]
    assert loaded["shape"] == (2, 3)
    assert loaded["state"][0]["exp_avg"].dtype == torch.bfloat16
    assert torch.equal(loaded["state"][0]["exp_avg"], state["state"][0]["exp_avg"])
    assert float(loaded["state"][0]["step"]) == 3.0


def test_views_of_one_storage_are_stored_apart(tmp_path: Path) -> None:
    flat = torch.arange(6.0)
    path = str(tmp_path / "state.pt")
    SafetensorsCheckpoints().save({"a": flat[:4], "b": flat[2:]}, path)
    loaded = SafetensorsCheckpoints().load(path)
    assert loaded["b"].tolist() == [2.0, 3.0, 4.0, 5.0]


def test_only_the_published_checkpoint_counts(tmp_path: Path) -> None:
    for step in (2, 4):
        (tmp_path / f"step-{step}").mkdir()
        (tmp_path / f"step-{step}" / "weights").write_text("x")
        if step == 2:
            publish(tmp_path, "step-2", 2)
    # The process died before step 4 was published: step 2 is still whole and named.
    assert json.loads((tmp_path / NEWEST).read_text())["step"] == 2
    assert (tmp_path / "step-2" / "weights").exists()
    publish(tmp_path, "step-4", 4)
    assert json.loads((tmp_path / NEWEST).read_text())["step"] == 4
    assert not (tmp_path / "step-2").exists()
