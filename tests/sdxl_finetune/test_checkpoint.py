"""Checkpoints without pickle, complete or invisible."""

from pathlib import Path
from typing import Any

import pytest
import torch

from components.core.errors import UserError
from components.sdxl_finetune.checkpoint import (
    SafetensorsCheckpoints,
    checkpoints,
    load_checkpoint,
    publish,
    what_stays,
)
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.fingerprint import (
    UNCHECKED,
    check_fingerprint,
    fingerprint,
    write_fingerprint,
)


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


def test_only_whole_checkpoints_count_and_the_last_ones_stay(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8):
        partial = tmp_path / f".step-{step:07d}.partial"
        partial.mkdir()
        (partial / "weights").write_text("x")
        if step < 8:  # the process died before the last one was published
            publish(tmp_path, partial, step, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-0000004", "step-0000006"]
    assert what_stays(tmp_path) == f"the checkpoint of step 6 stays in {tmp_path}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 1e-3}, "learning_rate was 2e-06 and is 0.001"),
        ({"batch_size": 60, "seed": 1}, "batch_size was 120 and is 60, seed was 0 and is 1"),
        ({"processes": 2}, "was written with 1 processes, but now there are 2"),
    ],
    ids=str,
)
def test_a_checkpoint_of_another_training_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    checkpoint, unet = tmp_path / "step-0000002", torch.nn.Linear(2, 2)
    checkpoint.mkdir()
    config = Config(micro_batch_size=1)
    write_fingerprint(checkpoint, fingerprint(config, unet, 10))
    longer = config.model_copy(update={"iterations": 7, "base_model": "elsewhere"})
    check_fingerprint(checkpoint, fingerprint(longer, unet, 10))
    other = config.model_copy(update=changes)
    with pytest.raises(UserError, match=said):
        check_fingerprint(checkpoint, fingerprint(other, unet, 10))
    with pytest.raises(UserError, match="10 grids in the training cache, but now there are 9"):
        check_fingerprint(checkpoint, fingerprint(config, unet, 9))
    with torch.no_grad():
        unet.bias[0] += 1.0
    with pytest.raises(UserError, match="another base model"):
        check_fingerprint(checkpoint, fingerprint(config, unet, 10))
    (checkpoint / "fingerprint.json").unlink()
    with pytest.raises(UserError, match="does not say what it belongs to"):
        check_fingerprint(checkpoint, fingerprint(config, unet, 10))


def test_what_a_checkpoint_does_not_depend_on_are_real_settings() -> None:
    assert Config.model_fields.keys() >= UNCHECKED | Config.MAY_CHANGE


def test_a_damaged_checkpoint_is_named_with_the_one_before(tmp_path: Path) -> None:
    owner = fingerprint(Config(), torch.nn.Linear(2, 2), 10)
    for step in (2, 4):
        checkpoint = tmp_path / f"step-{step:07d}"
        checkpoint.mkdir()
        write_fingerprint(checkpoint, owner)
        (checkpoint / "state.pt").write_bytes(b"cut off")

    class Engine:
        def load_checkpoint(self, folder: str, tag: str) -> tuple[str, dict[str, Any]]:
            return "", SafetensorsCheckpoints().load(f"{folder}/{tag}/state.pt")

    with pytest.raises(UserError, match=r"step-0000004 is damaged .* continue from step-0000002"):
        load_checkpoint(Engine(), tmp_path, 4, owner)
