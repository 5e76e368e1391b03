"""Batch arithmetic and the paper's numbers."""

import pytest
from pydantic import ValidationError

from components.sdxl_finetune.config import Config


def test_defaults_are_the_papers() -> None:
    config = Config()
    assert (config.learning_rate, config.batch_size, config.iterations) == (2e-6, 120, 400_000)


def test_global_batch_is_micro_batch_times_accumulation_times_processes() -> None:
    assert Config(batch_size=120, micro_batch_size=5, processes=24).accumulation == 1
    assert Config(batch_size=120, micro_batch_size=5, processes=8).accumulation == 3


@pytest.mark.parametrize(
    ("given", "gpus", "found"),
    [
        ({"processes": 0, "micro_batch_size": 0}, 8, (8, 5, 3)),  # the paper's batch on a node
        ({"processes": 0, "micro_batch_size": 0}, 7, (6, 5, 4)),  # 120 is no multiple of 7
        ({"processes": 0, "micro_batch_size": 0}, 0, (1, 5, 24)),  # a CPU
        ({"processes": 0, "micro_batch_size": 40}, 8, (3, 40, 1)),
        ({"processes": 8, "nodes": 3, "micro_batch_size": 0}, 0, (8, 5, 1)),
        ({"processes": 2, "micro_batch_size": 0, "batch_size": 14}, 8, (2, 1, 7)),
        ({"processes": 4, "micro_batch_size": 10}, 8, (4, 10, 3)),  # as given
    ],
    ids=str,
)
def test_what_is_left_open_follows_from_the_batch(
    given: dict[str, int], gpus: int, found: tuple[int, int, int]
) -> None:
    config = Config(**given).resolved(gpus)
    assert (config.processes, config.micro_batch_size, config.accumulation) == found
    assert config.resolved(1) == config


def test_processes_of_other_machines_are_not_guessed() -> None:
    with pytest.raises(ValidationError, match="processes must be given for 3 nodes"):
        Config(nodes=3, processes=0)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of micro_batch_size"):
        Config(batch_size=10, micro_batch_size=4)
    with pytest.raises(ValidationError, match="multiple of micro_batch_size"):
        Config(batch_size=4, micro_batch_size=8)
    with pytest.raises(ValidationError, match="must be a multiple of 7, by processes"):
        Config(batch_size=10, micro_batch_size=0, processes=7)
