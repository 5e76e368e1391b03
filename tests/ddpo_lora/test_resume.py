"""SIGKILL in the middle of an epoch, then a restart: the same weights to the last bit."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from components.core.errors import UserError
from components.core.platform.preemption import Preempted
from components.core.platform.tracking import NullTracker
from components.ddpo_lora.checkpoint import Progress, load_checkpoint, save_checkpoint
from components.ddpo_lora.stage import write
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, micro_config, micro_model, redness

KILLED_AT = 3  # the third scoring after the first held-out measurement is in epoch 2


def train(folder: Path, *, signalled: int = 0, killed_at: int = KILLED_AT) -> list[dict[str, Any]]:
    """signalled: what this process sends itself after `killed_at` scorings."""
    torch.set_num_threads(1)
    calls = 0

    def reward(*arguments: Any) -> Mapping[str, Any]:
        nonlocal calls
        calls += 1
        if signalled and calls > killed_at:
            os.kill(os.getpid(), signalled)
        return redness(*arguments)

    return write(
        micro_config(steps=3, epochs=4, heldout_every=4),
        micro_model(),
        reward,
        PROMPTS,
        HELDOUT,
        output=folder / "lora",
        work=folder / "work",
        tracker=NullTracker(),
    )


def adapter(folder: Path) -> dict[str, bytes]:
    files = sorted((folder / "lora").rglob("*.safetensors"))
    assert files
    return {file.name: file.read_bytes() for file in files}


def without_times(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key != "seconds"} for row in history]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, train(folder)


def test_sigterm_ends_with_143_and_loses_no_finished_epoch(
    tmp_path: Path, undisturbed: tuple[Path, list[dict[str, Any]]]
) -> None:
    """Asked while epoch 2 is scored, which is before its update; the stage's process goes on."""

    def unhandled(number: int, frame: object) -> None:
        raise AssertionError("nobody awaits SIGTERM")

    before = signal.signal(signal.SIGTERM, unhandled)
    try:
        with pytest.raises(Preempted, match=r"in epoch 2; the 2 epochs before are saved") as end:
            train(tmp_path, signalled=signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is unhandled
    finally:
        signal.signal(signal.SIGTERM, before)
    assert end.value.code == 128 + signal.SIGTERM
    assert {path.name for path in (tmp_path / "work").glob("*")} == {
        "begun.json", "checkpoint-00002",
    }  # fmt: skip
    assert not (tmp_path / "lora").exists()
    resumed = train(tmp_path)
    folder, history = undisturbed
    assert adapter(tmp_path) == adapter(folder)
    assert without_times(resumed) == without_times(history)


def test_an_epoch_that_begins_again_and_again_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first epoch without an end to be begun a third time, not those that came through."""
    warning = "epoch 2 was begun {} times before and never ended"
    for times in range(4):
        with pytest.raises(Preempted):
            train(tmp_path, signalled=signal.SIGTERM, killed_at=0 if times else KILLED_AT)
        said = capsys.readouterr().out
        assert (warning.format(times) in said) == (times >= 2), said
        assert said.count("never ended") == (times >= 2)
    train(tmp_path)
    said = capsys.readouterr().out
    assert warning.format(4) in said
    assert said.count("never ended") == 1


def test_a_killed_run_ends_as_an_undisturbed_one(
    tmp_path: Path, undisturbed: tuple[Path, list[dict[str, Any]]]
) -> None:
    killed = tmp_path / "killed"
    died = subprocess.run(
        [sys.executable, "-m", "tests.ddpo_lora.test_resume", str(killed)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not (killed / "lora").exists()
    (checkpoint,) = (killed / "work").glob("checkpoint-*")
    progress = json.loads((checkpoint / "progress.json").read_text())
    assert progress["epoch"] == 2
    assert progress["steps"] == 4
    resumed = train(killed)
    folder, history = undisturbed
    assert adapter(killed) == adapter(folder)
    assert without_times(resumed) == without_times(history)


def test_a_half_written_checkpoint_is_ignored_and_whole_ones_do_not_pile_up(
    tmp_path: Path,
) -> None:
    """With nothing left to train, the newest whole checkpoint is what is written out."""
    train(tmp_path)
    finished = adapter(tmp_path)
    left = {path.name for path in (tmp_path / "work").iterdir()}
    assert left == {"adapter", "begun.json", "checkpoint-00004"}
    (tmp_path / "work" / ".checkpoint-00099.partial").mkdir()
    train(tmp_path)
    assert adapter(tmp_path) == finished


@pytest.mark.parametrize("fused", [False, True])
def test_the_optimizers_state_returns_to_where_its_step_looks_for_it(
    tmp_path: Path, fused: bool
) -> None:
    """A fused AdamW, as on a GPU, wants its step count beside the weights."""
    weights = {"a": torch.nn.Parameter(torch.ones(3))}
    first = torch.optim.AdamW(weights.values(), fused=fused)
    weights["a"].sum().backward()
    first.step()
    save_checkpoint(tmp_path, weights, first, Progress(epoch=1, history=[], statistics={}))
    elsewhere = {"a": torch.nn.Parameter(torch.ones(3, device="meta"))}
    second = torch.optim.AdamW(elsewhere.values())
    second.param_groups[0]["fused"] = fused
    load_checkpoint(tmp_path, elsewhere, second)
    devices = {name: value.device.type for name, value in second.state[elsewhere["a"]].items()}
    assert devices == {"step": "meta" if fused else "cpu", "exp_avg": "meta", "exp_avg_sq": "meta"}
    third = torch.optim.AdamW(weights.values(), fused=fused)
    load_checkpoint(tmp_path, weights, third)
    assert third.state[weights["a"]]["step"].item() == 1
    third.step()


def test_a_checkpoint_of_another_base_of_the_same_shape_is_refused(tmp_path: Path) -> None:
    arguments = (redness, PROMPTS, HELDOUT)
    places = {"output": tmp_path / "lora", "work": tmp_path / "work"}
    config = micro_config(steps=2, epochs=1, heldout_samples=0)
    write(config, micro_model(), *arguments, **places, tracker=NullTracker())
    other = micro_model()
    with torch.no_grad():
        other.unet.conv_in.weight += 0.01
    with pytest.raises(UserError, match="another base model or rank"):
        write(config, other, *arguments, **places, tracker=NullTracker())


if __name__ == "__main__":
    train(Path(sys.argv[1]), signalled=signal.SIGKILL)
