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


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of micro_batch_size"):
        Config(batch_size=10, micro_batch_size=4)
    with pytest.raises(ValidationError, match="multiple of micro_batch_size"):
        Config(batch_size=4, micro_batch_size=8)
