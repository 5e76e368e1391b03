"""How sure a gradient is: the statistic on gradients made up, and on a model's own."""

import numpy as np
import pytest
import torch

from components.core.realism.reward import REWARD
from components.ddpo_lora.config import Config
from components.ddpo_lora.prompts import Prompts
from components.ddpo_lora.training import equip
from tests.benchmarks.ddpo_signal import (
    METRICS,
    Samples,
    gradients_of_groups,
    signal,
    take_samples,
)
from tests.ddpo_lora.micro import micro_model


@pytest.mark.parametrize("power", METRICS.values())
def test_gradients_of_noise_have_no_signal_and_a_common_part_has(power: float) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(64, 300, generator=generator) for _ in range(50)]
    found = [signal(each, power) for each in noise]
    assert abs(np.mean(found)) < 0.5  # of mean 0 and deviation 1: 50 of them have 0.14
    assert 0.7 < np.std(found) < 1.4
    common = torch.full((300,), 0.1)
    assert np.mean([signal(each + common, power) for each in noise]) > 5.0


def test_more_samples_are_surer() -> None:
    generator = torch.Generator().manual_seed(1)
    sets = [torch.randn(256, 300, generator=generator) + 0.05 for _ in range(20)]
    few, many = (np.mean([signal(each[:count], 0.0) for each in sets]) for count in (64, 256))
    assert many / few == pytest.approx(4.0, rel=0.3)


def test_a_groups_gradient_is_the_sum_over_samples_and_steps() -> None:
    gradients = torch.arange(12.0).reshape(4, 1, 3)
    samples = Samples(
        torch.cat([gradients, 2 * gradients], dim=1), torch.tensor([1.0, 0.5]),
        np.array([1.0, 3.0, 2.0, 8.0]), ("a", "a", "b", "b"),
    )  # fmt: skip
    found = gradients_of_groups(samples, torch.tensor([1.0, 0.25]), "batch", 2)
    # Centred rewards -1, 1, -3, 3 have a root mean square of sqrt(5).
    expected = np.array([1.0, 3.0])[:, None] / 5**0.5 * np.full((2, 3), 3.0) * 1.5
    assert found.numpy() == pytest.approx(expected, rel=1e-4)


def test_samples_are_of_all_trained_transitions_and_groups_share_a_prompt() -> None:
    config = Config(
        steps=4, guidance=1.0, samples_per_prompt=2, samples_per_epoch=4, batch_size=4,
        forward_batch=4, accumulation=1, shared_light=True,
    )  # fmt: skip
    model = micro_model()
    equip(model, config)

    def brightness(grids: np.ndarray, *_: object) -> dict[str, np.ndarray]:
        return {REWARD: grids.mean(axis=(1, 2, 3))}

    samples = take_samples(config, model, brightness, Prompts(["a", "b"], [], {}), 8)
    assert samples.prompts == ("a", "a", "b", "b", "a", "a", "b", "b")
    assert samples.gradients_nsp.shape[:2] == (8, len(samples.deviations_s))
    assert len(samples.deviations_s) == 3  # the last step has no noise
    assert samples.gradients_nsp.float().abs().sum(dim=2).min() > 0
    assert len(set(samples.rewards_n)) == 8
