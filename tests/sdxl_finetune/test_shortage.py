"""Running out of memory is a sentence that says what would fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from components.core.errors import UserError
from components.sdxl_finetune.clock import peak_memory
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.shortage import is_shortage, naming_shortage, remedies
from components.sdxl_finetune.window import Window


def of_the_cpu() -> None:
    torch.empty(2**60, dtype=torch.uint8)


def of_the_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def of_numpy() -> None:
    raise MemoryError


@pytest.mark.parametrize("fail", [of_the_cpu, of_the_gpu, of_numpy])
def test_every_allocator_is_known(fail: Callable[[], None]) -> None:
    with (
        pytest.raises(UserError, match=r"too little memory in step 3 \(.+\): do less; it stays"),
        naming_shortage("in step 3", lambda: ["do less"], lambda: "it stays"),
    ):
        fail()


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(RuntimeError, match="shapes"), naming_shortage("", list):
        raise RuntimeError("shapes do not match")
    assert not is_shortage(ValueError("out of memory"))


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"micro_batch_size": 5, "processes": 24}, ["size to 1", "checkpointing to", "stage to 3"]),
        ({"micro_batch_size": 6, "batch_size": 12}, ["size to 4", "checkpointing to"]),
        (
            {"micro_batch_size": 1, "processes": 2, "gradient_checkpointing": True},
            ["stage to 3"],
        ),
        ({"micro_batch_size": 1, "gradient_checkpointing": True}, []),
    ],
    ids=str,
)
def test_only_what_the_batch_allows_is_advised(settings: dict[str, Any], found: list[str]) -> None:
    advised = remedies(Config(**settings), begun=None)
    assert len(advised) == len(found)
    assert all(part in advice for part, advice in zip(found, advised, strict=True))


def test_advice_names_the_checkpoints_that_are_in_its_way(tmp_path: Path) -> None:
    config = Config(micro_batch_size=1, processes=2, gradient_checkpointing=True)
    assert str(tmp_path) in remedies(config, begun=tmp_path)[0]
    assert str(tmp_path) not in remedies(config, begun=None)[0]


def test_memory_is_that_of_the_device_that_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with a GPU, training on the CPU takes the process's memory."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    assert peak_memory(torch.device("cpu")) > 2**26
    assert peak_memory(torch.device("cuda", 0)) == 7


def test_a_window_holds_means_since_the_last_report() -> None:
    window = Window()
    window.add({"loss": 1.0, "loss_t0": 4.0})
    window.add({"loss": 2.0})
    assert window.means() == {"loss": 1.5, "loss_t0": 4.0}
    window.add({"loss": 7.0})
    assert window.means() == {"loss": 7.0}
