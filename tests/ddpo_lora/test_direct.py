"""Direct back-propagation: its gradient is the reward's, and it climbs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from components.core.errors import UserError
from components.core.platform.tracking import NullTracker
from components.ddpo_lora.config import Config
from components.ddpo_lora.direct import Differentiable, last_steps, shaded
from components.ddpo_lora.trainer import Trainer
from components.ddpo_lora.training import equip
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, micro_config, micro_model
from tests.ddpo_lora.real import RENDERING, real_reward
from tests.ddpo_lora.test_learning import brightness


def bright(count: int, rng: np.random.Generator) -> Differentiable:
    """The mean of all pixels, with gradient."""

    def reward(grids_bhwc: torch.Tensor, numbers: Sequence[int]) -> torch.Tensor:
        return grids_bhwc.mean(dim=(1, 2, 3))

    return reward


def trainer(config: Config, work: Path, **changes: Any) -> Trainer:
    model = micro_model()
    equip(model, config)
    reward = changes.pop("reward", brightness)
    options = {"gradient": bright} | changes
    return Trainer(model, reward, PROMPTS, HELDOUT, config, work, NullTracker(), **options)


@pytest.mark.parametrize("real", [False, True], ids=["brightness", "shaded realism"])
def test_the_gradient_is_that_of_finite_differences_through_the_sampler(
    tmp_path: Path, real: bool
) -> None:
    """Of all steps at once, against sampling anew with the adapter a little further either way."""
    config = micro_config(
        method="direct", steps=3, direct_steps=3, rendering=RENDERING, guidance=2.0
    )
    subject = trainer(config, tmp_path)
    generator = torch.Generator().manual_seed(0)
    parameters = list(subject.update.parameters.values())
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    begin = shaded(real_reward(), config) if real else bright
    reward, model = begin(2, np.random.default_rng(0)), subject.policy.model
    prompts, seeds = PROMPTS[:2], [5, 6]
    rollout = subject.policy.roll_out(prompts, seeds)
    latents = last_steps(model, rollout, config)
    torch.testing.assert_close(latents.detach(), rollout.trajectory.final_bchw)
    reward(model.decode_with_gradient(latents), [0, 1]).mean().backward()
    gradient = [p.grad.clone() for p in parameters if p.grad is not None]
    norm = float(torch.cat([g.flatten() for g in gradient]).norm())

    def value(step: float) -> float:
        with torch.no_grad():
            for parameter, direction in zip(parameters, gradient, strict=True):
                parameter.add_(direction, alpha=step / norm)
            found = reward(model.decode(subject.policy.sample(prompts, seeds)), [0, 1]).mean()
            for parameter, direction in zip(parameters, gradient, strict=True):
                parameter.sub_(direction, alpha=step / norm)
        return float(found)

    step = 0.0005 if real else 0.05
    slope = (value(step) - value(-step)) / (2.0 * step)
    assert slope == pytest.approx(norm, rel=0.05)


def test_the_last_steps_alone_have_a_smaller_gradient_of_the_same_values(tmp_path: Path) -> None:
    norms = []
    for count in (1, 3):
        config = micro_config(method="direct", steps=3, direct_steps=count)
        subject = trainer(config, tmp_path)
        rollout = subject.policy.roll_out(PROMPTS[:2], [5, 6])
        latents = last_steps(subject.policy.model, rollout, config)
        torch.testing.assert_close(latents.detach(), rollout.trajectory.final_bchw)
        latents.sum().backward()  # type: ignore[no-untyped-call]
        norms.append(sum(float(p.grad.norm()) for p in subject.update.parameters.values()
                         if p.grad is not None))  # fmt: skip
    assert 0.0 < norms[0] < norms[1]


def test_brightness_rises_faster_than_by_policy_gradients(tmp_path: Path) -> None:
    """As many samples as test_learning gives DDPO for 0.2 deviations, in a sixth of the epochs."""
    config = micro_config(
        method="direct", epochs=4, samples_per_epoch=24, batch_size=12, forward_batch=12, steps=3,
        learning_rate=5e-3, direct_steps=2, heldout_every=4, heldout_samples=24,
    )  # fmt: skip
    history = trainer(config, tmp_path).run()
    spread = history[0]["heldout_gold_reward_std"]
    rise = (history[-1]["heldout_gold_reward"] - history[0]["heldout_gold_reward"]) / spread
    assert rise > 0.5
    rewards = [row["train_reward"] for row in history[:-1]]
    assert rewards[-1] > rewards[0]
    assert all(row["gradient_norm"] > 0 for row in history[:-1])


def test_a_reward_that_is_not_finite_costs_its_sample_alone(tmp_path: Path) -> None:
    """The gradient is that of the other samples, at their share of the batch."""
    gradients = []
    for name, lost in (("whole", False), ("hurt", True)):

        def begin(count: int, rng: np.random.Generator, lost: bool = lost) -> Differentiable:
            def reward(grids_bhwc: torch.Tensor, numbers: Sequence[int]) -> torch.Tensor:
                means = grids_bhwc.mean(dim=(1, 2, 3))
                third = torch.tensor([float(number == 2) for number in numbers])
                # Of a sample that does not count: no gradient, or none that is a number.
                return means / (1.0 - third) if lost else means * (1.0 - third)

            return reward

        config = micro_config(
            method="direct", epochs=1, steps=2, batch_size=8, heldout_samples=0,
            max_gradient_norm=1e9,
        )  # fmt: skip
        subject = trainer(config, tmp_path / name, gradient=begin)
        row = subject.run()[0]
        assert row["dropped"] == float(lost)
        assert np.isfinite(row["train_reward"])
        gradients.append([p.grad for p in subject.update.parameters.values()])
    for one, other in zip(*gradients, strict=True):
        assert one is not None
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-7)


def test_rewards_that_are_all_lost_end_the_run(tmp_path: Path) -> None:
    def begin(count: int, rng: np.random.Generator) -> Differentiable:
        return lambda grids_bhwc, numbers: grids_bhwc.mean(dim=(1, 2, 3)) * torch.nan

    config = micro_config(method="direct", epochs=1, steps=2, heldout_samples=0)
    with pytest.raises(UserError, match="8 of 8 samples have no reward"):
        trainer(config, tmp_path, gradient=begin).run()


def test_it_resumes_where_it_was(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"method": "direct", "steps": 2, "heldout_samples": 0}
    whole = trainer(micro_config(epochs=2, **settings), tmp_path / "whole")
    whole.run()
    trainer(micro_config(epochs=1, **settings), tmp_path / "cut").run()
    again = trainer(micro_config(epochs=2, **settings), tmp_path / "cut")
    again.run()
    for name, value in whole.update.parameters.items():
        assert torch.equal(value, again.update.parameters[name])


def test_what_direct_cannot_do_is_refused() -> None:
    with pytest.raises(ValidationError, match="inner_epochs"):
        micro_config(method="direct", inner_epochs=2)
    with pytest.raises(ValidationError, match="direct_steps"):
        micro_config(method="direct", steps=3, direct_steps=4)
