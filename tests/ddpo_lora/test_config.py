"""The paper's numbers are the defaults, and sizes that do not fit are refused."""

import pytest
from pydantic import ValidationError

from components.ddpo_lora.config import Config


def test_defaults_are_the_papers() -> None:
    config = Config()
    assert (config.steps, config.rank, config.learning_rate) == (50, 4, 3e-4)
    assert (config.batch_size, config.forward_batch, config.accumulation) == (128, 4, 2)
    assert (config.epochs, config.clip_range, config.advantage_clip) == (110, 1e-4, 5.0)
    assert config.inner_epochs == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 6, "forward_batch": 4},
        {"samples_per_epoch": 100},
        {"samples_per_prompt": 3},
        {"statistics_min_count": 17},
        {"guidance": 0.5},
        {"epoch": 3},
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Config(**changes)
