"""The gradient that is followed is the score-function gradient, on a toy known in closed form.

The policy: one denoising step in 2 dimensions whose velocity is the parameter. The reward is
linear, w . x, so that the gradient of its expectation is known: the step's mean moves by
c = d mean / d velocity, and the mean log-density over 2 dimensions halves the score.
"""

import math

import pytest
import torch
from diffusers import DDPMScheduler

from components.core.diffusion.schedule import SCHEDULER_SETTINGS, NoiseSchedule
from components.core.diffusion.step import Step, ddpm_step, step_coefficients
from components.ddpo_lora.loss import policy_loss

SCHEDULE = NoiseSchedule.from_scheduler(DDPMScheduler(**SCHEDULER_SETTINGS))
STEPS = [(999, 799), (799, 599), (399, 199), (199, 0)]
W = torch.tensor([0.7, -1.3])
# Four points of mean 0 and covariance 1: expectations of quadratic functions are exact.
NOISE = math.sqrt(2.0) * torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def step_at(velocity: torch.Tensor, t: int, t_prev: int, x_prev: torch.Tensor | None) -> Step:
    """The step of four samples, all from the same state; sampled with NOISE if x_prev is None."""
    x_t = torch.tensor([0.3, 0.9]).expand(4, 2)[..., None, None]
    v = velocity.expand(4, 2)[..., None, None]
    noise = NOISE[..., None, None] if x_prev is None else None
    return ddpm_step(SCHEDULE, v, t, t_prev, x_t, noise=noise, x_prev=x_prev)


def mean_by_velocity(t: int, t_prev: int) -> float:
    alpha = SCHEDULE.alpha_bar(t)
    of_x0, of_noise, _ = step_coefficients(SCHEDULE, t, t_prev)
    return -of_x0 * math.sqrt(1.0 - alpha) + of_noise * math.sqrt(alpha)


@pytest.mark.parametrize(("t", "t_prev"), STEPS)
@pytest.mark.parametrize("baseline", [0.0, 5.0])
def test_the_surrogates_gradient_is_that_of_the_expected_reward(
    t: int, t_prev: int, baseline: float
) -> None:
    velocity = torch.tensor([0.2, -0.4], requires_grad=True)
    sampled = step_at(velocity.detach(), t, t_prev, None)
    advantages = sampled.x_prev.flatten(1) @ W - baseline
    judged = step_at(velocity, t, t_prev, sampled.x_prev)
    policy_loss(judged.log_prob, sampled.log_prob, advantages, 1e-4).loss.backward()
    assert velocity.grad is not None
    expected = -mean_by_velocity(t, t_prev) * W / 2.0
    torch.testing.assert_close(velocity.grad, expected, rtol=1e-3, atol=1e-4)


def test_off_policy_samples_are_weighted_by_their_ratio() -> None:
    """Importance sampling: samples of an older policy, within the clip range."""
    t, t_prev = STEPS[1]
    old, velocity = torch.tensor([0.2, -0.4]), torch.tensor([0.21, -0.39], requires_grad=True)
    sampled = step_at(old, t, t_prev, None)
    judged = step_at(velocity, t, t_prev, sampled.x_prev)
    advantages = torch.tensor([1.0, -2.0, 0.5, 3.0])
    policy_loss(judged.log_prob, sampled.log_prob, advantages, 1e3).loss.backward()
    ratio = torch.exp(judged.log_prob - sampled.log_prob).detach()
    away = (sampled.x_prev - judged.mean.detach()).flatten(1)
    score = mean_by_velocity(t, t_prev) * away / (2.0 * judged.std**2)
    expected = -((advantages * ratio)[:, None] * score).mean(dim=0)
    assert velocity.grad is not None
    torch.testing.assert_close(velocity.grad, expected, rtol=1e-4, atol=1e-6)
    assert (ratio - 1.0).abs().max() > 1e-3
