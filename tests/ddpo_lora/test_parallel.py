"""Two gloo processes: one adapter, and the update that one process makes of the same samples."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from components.core.diffusion.lora import add_lora
from components.core.platform.tracking import NullTracker
from components.ddpo_lora.parallel import Group
from components.ddpo_lora.trainer import Trainer
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, micro_config, micro_model
from tests.ddpo_lora.real import real_reward

ROOT = Path(__file__).parents[2]


def train(folder: Path, processes: int, group: Group, epochs: int = 2) -> None:
    """Several steps an epoch, held-out samples that do not divide, a window, KL."""
    torch.set_num_threads(1)
    config = micro_config(
        processes=processes, epochs=epochs, steps=4, batch_size=4, forward_batch=2, window=2,
        kl_coefficient=0.1, heldout_every=1, heldout_samples=6, overlap=True,
    )  # fmt: skip
    model = micro_model()
    add_lora(model.unet, config.rank)
    trainer = Trainer(
        model, real_reward(), PROMPTS, HELDOUT, config, folder / "work", NullTracker(), group=group
    )
    history = trainer.run()
    name = f"rank{group.rank}"
    save_file({k: v.detach() for k, v in trainer.update.parameters.items()}, folder / name)
    (folder / f"{name}.json").write_text(json.dumps(history))


def torchrun(folder: Path, mode: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            "-m", "tests.ddpo_lora.test_parallel", str(folder), mode,
        ],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def rows(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text())
    return found


def test_two_processes_train_as_one_and_end_equal(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    train(one, 1, Group())
    ended = torchrun(two, "train")
    assert ended.returncode == 0, ended.stderr[-2000:]
    first, second = load_file(two / "rank0"), load_file(two / "rank1")
    alone = load_file(one / "rank0")
    assert all(torch.equal(first[name], second[name]) for name in first)
    moved = 0.0
    start = {name: torch.zeros_like(value) for name, value in alone.items() if "lora_B" in name}
    for name, value in alone.items():
        # Sums in another order differ by rounding, which AdamW's division enlarges.
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=2e-5)
        moved = max(moved, float(value.abs().max()) if name in start else 0.0)
    assert moved > 1e-3
    for ours, theirs in zip(rows(two / "rank0.json"), rows(one / "rank0.json"), strict=True):
        for key in set(theirs) - {"seconds", "train_diversity", "heldout_diversity"}:
            assert ours[key] == pytest.approx(theirs[key], rel=2e-2, abs=1e-5), key
        assert set(ours) == set(theirs)


def test_parameters_that_come_apart_are_noticed(tmp_path: Path) -> None:
    ended = torchrun(tmp_path, "apart")
    assert ended.returncode != 0
    assert "the processes' parameters have come apart" in ended.stderr


def test_alone_every_operation_is_the_identity() -> None:
    group = Group()
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    group.sum_gradients([parameter])
    assert parameter.grad.tolist() == [1.0, 2.0]
    assert group.sum([1, 2]).tolist() == [1.0, 2.0]
    group.check_equal([torch.tensor([float(np.nan)])])


if __name__ == "__main__":
    together = Group.join("cpu")
    if sys.argv[2] == "train":
        train(Path(sys.argv[1]), 2, together)
    else:
        together.check_equal([torch.ones(3)])
        together.check_equal([torch.tensor([1.0, 1.0, 1.0 + together.rank * 1e-6])])
    torch.distributed.destroy_process_group()
