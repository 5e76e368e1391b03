"""Two gloo processes: one adapter, and the update that one process makes of the same samples."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from components.core.diffusion.lora import add_lora
from components.core.platform.processes import ending_well
from components.core.platform.tracking import NullTracker
from components.ddpo_lora.parallel import Group
from components.ddpo_lora.trainer import Trainer
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, micro_config, micro_model
from tests.ddpo_lora.real import real_reward

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
ONE_PASS: dict[str, Any] = {"one_pass": True, "kl_coefficient": 0.0, "batch_size": 8}
FIRST_OF_EPOCH_1 = 2
"""Number of a process's forward batch."""


def train(
    folder: Path,
    processes: int,
    group: Group,
    epochs: int = 2,
    disturb: Callable[[], None] = int,
    **changes: Any,
) -> None:
    """Several steps an epoch, held-out samples that do not divide, a window, shared starts, KL.

    disturb: called before each forward batch is sampled.
    """
    torch.set_num_threads(1)
    settings = {
        "processes": processes, "epochs": epochs, "steps": 4, "batch_size": 4, "forward_batch": 2,
        "window": 2, "window_stride": 2, "branch": True, "samples_per_prompt": 2,
        "shared_light": True, "kl_coefficient": 0.1, "heldout_every": 1, "heldout_samples": 6,
        "overlap": True,
    }  # fmt: skip
    config = micro_config(**(settings | changes))
    model = micro_model()
    add_lora(model.unet, config.rank)
    trainer = Trainer(
        model, real_reward(), PROMPTS, HELDOUT, config, folder / "work", NullTracker(), group=group
    )
    sample = trainer.policy.roll_out

    def disturbed(*arguments: Any) -> Any:
        disturb()
        return sample(*arguments)

    trainer.policy.roll_out = disturbed  # type: ignore[method-assign]
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


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two undisturbed processes leave."""
    folder = tmp_path_factory.mktemp("two")
    ended = torchrun(folder, "train")
    assert ended.returncode == 0, ended.stderr[-2000:]
    return folder


def test_two_processes_train_as_one_and_end_equal(tmp_path: Path, two: Path) -> None:
    one = tmp_path
    train(one, 1, Group())
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


def test_sigterm_in_one_process_ends_both_and_they_resume_bit_identically(
    tmp_path: Path, two: Path
) -> None:
    """Rank 1 is asked in the middle of epoch 1; both end with 143 and the first epoch saved."""
    ended = torchrun(tmp_path, "preempted")
    assert ended.returncode != 0
    assert [(tmp_path / f"code{rank}").read_text() for rank in range(2)] == ["143", "143"]
    assert "stopped by SIGTERM in epoch 1" in ended.stdout
    assert [path.name for path in (tmp_path / "work").glob("checkpoint-*")] == ["checkpoint-00001"]
    again = torchrun(tmp_path, "train")
    assert again.returncode == 0, again.stderr[-2000:]
    for rank in range(2):
        undisturbed, resumed = load_file(two / f"rank{rank}"), load_file(tmp_path / f"rank{rank}")
        assert all(torch.equal(resumed[name], value) for name, value in undisturbed.items())
    first, second = rows(two / "rank0.json"), rows(tmp_path / "rank0.json")
    for row in (*first, *second):
        del row["seconds"]
    assert first == second


def test_two_processes_train_as_one_in_one_pass(tmp_path: Path) -> None:
    """Each has gradients of its own samples only, and weighs them by what all have earned."""
    ended = torchrun(tmp_path / "two", "one pass")
    assert ended.returncode == 0, ended.stderr[-2000:]
    train(tmp_path, 1, Group(), **ONE_PASS)
    first, second = (load_file(tmp_path / "two" / name) for name in ("rank0", "rank1"))
    for name, value in load_file(tmp_path / "rank0").items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=2e-5)
    for row in (rows(tmp_path / "two" / f"rank{rank}.json")[0] for rank in range(2)):
        assert (row["ratio"], row["approx_kl"], row["clip_fraction"]) == (1.0, 0.0, 0.0)


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
    place, calls = Path(sys.argv[1]), iter(range(100))

    def ask_rank_1_to_end() -> None:
        if next(calls) == FIRST_OF_EPOCH_1 and together.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    if sys.argv[2] == "train":
        train(place, 2, together)
    elif sys.argv[2] == "one pass":
        train(place, 2, together, **ONE_PASS)
    elif sys.argv[2] == "preempted":
        with (place / f"code{together.rank}").open("w") as file:
            try:
                with ending_well("ddpo_lora", place):
                    train(place, 2, together, disturb=ask_rank_1_to_end)
            except SystemExit as end:
                file.write(str(end.code))
                raise
    else:
        together.check_equal([torch.ones(3)])
        together.check_equal([torch.tensor([1.0, 1.0, 1.0 + together.rank * 1e-6])])
    torch.distributed.destroy_process_group()
