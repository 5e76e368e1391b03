"""A training that was ended goes on with other settings, through what `realmat run` calls."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from components.core.errors import UserError
from components.core.platform.artifacts import located
from components.core.platform.journal import JournalTracker
from components.core.platform.stage import execute

UNET = "unet/diffusion_pytorch_model.safetensors"


class Ended(BaseException):
    """Stands for the end of the process."""


def train(base_model: Path, dataset: Path, output: Path, **changes: Any) -> None:
    settings: dict[str, Any] = {
        "base_model": str(base_model), "iterations": 4, "batch_size": 4, "micro_batch_size": 4,
        "learning_rate": 1e-3, "log_every": 1, "checkpoint_every": 2, "preview_prompts": 0,
        "heldout_items": 1, "heldout_every": 100, "device": "cpu",
    }  # fmt: skip
    execute(
        "sdxl_finetune", json.dumps(settings | changes), inputs={"dataset": [dataset]},
        output=output, parameters={},
    )  # fmt: skip


def logged(root: Path) -> dict[str, list[int]]:
    """Steps of the logged losses, over all attempts, by work folder."""
    found = {}
    for file in (root / "journal").glob("*.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        found[file.stem] = [row["step"] for row in rows if "loss" in row.get("metrics", {})]
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the first training ends when it has logged step 3."""
    monkeypatch.setenv("REALMAT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("REALMAT_JOURNAL", str(tmp_path / "journal"))
    log, ended = JournalTracker.log_metrics, tmp_path / "ended"

    def ending(self: JournalTracker, metrics: Mapping[str, float], step: int | None = None) -> None:
        log(self, metrics, step)
        if step == 3 and not ended.exists():
            ended.touch()
            raise Ended

    monkeypatch.setattr(JournalTracker, "log_metrics", ending)
    return tmp_path


def test_a_smaller_micro_batch_and_more_steps_continue_from_the_checkpoint(
    base_model: Path, dataset: Path, place: Path
) -> None:
    with pytest.raises(Ended):
        train(base_model, dataset, place / "model")
    with pytest.raises(UserError, match=r"step 2 .* further than sdxl_finetune.iterations \(1\)"):
        train(base_model, dataset, place / "model", iterations=1)
    with pytest.raises(UserError, match="zero_stage was 0 and is 2"):
        train(base_model, dataset, place / "model", zero_stage=2)
    changes = {"iterations": 6, "micro_batch_size": 1, "checkpoint_every": 3, "heldout_items": 2}
    train(base_model, dataset, place / "model", **changes)
    assert list(logged(place).values()) == [[1, 2, 3, 3, 4, 5, 6]]
    resumed = load_file(located(place / "model") / UNET)
    # Another learning rate is another training, of the same noise and batches.
    train(base_model, dataset, place / "other", iterations=6, learning_rate=1.001e-3)
    assert [1, 2, 3, 4, 5, 6] in logged(place).values(), "another training begins anew"
    start, straight = load_file(base_model / UNET), load_file(located(place / "other") / UNET)
    apart = sum(float((resumed[name] - straight[name]).abs().sum()) for name in start)
    went = sum(float((start[name] - straight[name]).abs().sum()) for name in start)
    assert apart < 0.05 * went
