"""The denoising step as a Gaussian policy."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch.distributions import Normal

from components.core.diffusion.schedule import SCHEDULER_SETTINGS, NoiseSchedule
from components.core.diffusion.step import ddpm_step, step_coefficients


@pytest.fixture
def schedule() -> NoiseSchedule:
    return NoiseSchedule.from_scheduler(DDPMScheduler(**SCHEDULER_SETTINGS))


def tensors(count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, 4, 4, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("steps", [7, 10, 20, 25, 30, 40, 50, 100])
def test_every_transition_is_finite(schedule: NoiseSchedule, steps: int) -> None:
    v, x_t, noise = tensors(3)
    for t, t_prev in schedule.transitions(steps):
        step = ddpm_step(schedule, v, t, t_prev, x_t, noise=noise)
        assert torch.isfinite(step.x_prev).all()
        assert torch.isfinite(step.log_prob).all()
        assert step.std > 1e-3 or t_prev == -1


@pytest.mark.parametrize("steps", [25, 30, 50])
def test_the_usual_ddim_radicand_would_not_be_finite(steps: int) -> None:
    """The trap this step avoids: stock DDIM with eta 1 starts with NaN."""
    v, x_t, _ = tensors(3)
    scheduler = DDIMScheduler(**SCHEDULER_SETTINGS)
    scheduler.set_timesteps(steps)
    first = scheduler.step(v, int(scheduler.timesteps[0]), x_t, eta=1.0)
    assert torch.isnan(first.prev_sample).any()


@pytest.mark.parametrize("steps", [10, 50])
def test_mean_and_std_agree_with_diffusers_ddpm(schedule: NoiseSchedule, steps: int) -> None:
    theirs = DDPMScheduler(**SCHEDULER_SETTINGS)
    theirs.set_timesteps(steps)
    v, x_t, _ = tensors(3)
    for t, t_prev in schedule.transitions(steps)[1:-1]:
        sampled = theirs.step(v, t, x_t, generator=torch.Generator().manual_seed(5)).prev_sample
        noise = torch.randn(v.shape, generator=torch.Generator().manual_seed(5))
        ours = ddpm_step(schedule, v, t, t_prev, x_t, noise=noise)
        torch.testing.assert_close(ours.x_prev, sampled, atol=2e-5, rtol=2e-5)


def test_eta_zero_is_deterministic_ddim(schedule: NoiseSchedule) -> None:
    theirs = DDIMScheduler(**SCHEDULER_SETTINGS)
    theirs.set_timesteps(10)
    v, x_t, noise = tensors(3)
    for t, t_prev in schedule.transitions(10)[1:]:
        expected = theirs.step(v, t, x_t, eta=0.0).prev_sample
        ours = ddpm_step(schedule, v, t, t_prev, x_t, noise=noise, eta=0.0)
        torch.testing.assert_close(ours.x_prev, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("steps", [10, 20, 25, 30, 50])
def test_log_prob_is_the_mean_log_density(schedule: NoiseSchedule, steps: int) -> None:
    v, x_t, noise = tensors(3)
    for t, t_prev in schedule.transitions(steps)[:-1]:
        step = ddpm_step(schedule, v, t, t_prev, x_t, noise=noise)
        expected = Normal(step.mean, step.std).log_prob(step.x_prev).mean(dim=(1, 2, 3))
        torch.testing.assert_close(step.log_prob, expected)


def test_evaluating_the_sampled_state_gives_the_same_bits(schedule: NoiseSchedule) -> None:
    v, x_t, noise = tensors(3)
    for t, t_prev in schedule.transitions(10):
        sampled = ddpm_step(schedule, v, t, t_prev, x_t, noise=noise)
        judged = ddpm_step(schedule, v, t, t_prev, x_t, x_prev=sampled.x_prev)
        assert torch.equal(judged.log_prob, sampled.log_prob)


def test_a_likelier_state_has_a_higher_log_prob_and_the_gradient_points_there(
    schedule: NoiseSchedule,
) -> None:
    v, x_t, noise = tensors(3)
    sampled = ddpm_step(schedule, v, 499, 399, x_t, noise=noise)
    v = v.clone().requires_grad_(True)
    judged = ddpm_step(schedule, v, 499, 399, x_t, x_prev=sampled.x_prev)
    (gradient,) = torch.autograd.grad(judged.log_prob.sum(), v)
    better = ddpm_step(schedule, v + 0.1 * gradient, 499, 399, x_t, x_prev=sampled.x_prev)
    assert (better.log_prob > judged.log_prob).all()


def test_the_last_transition_is_deterministic_and_not_trained(schedule: NoiseSchedule) -> None:
    v, x_t, noise = tensors(3)
    v.requires_grad_(True)
    step = ddpm_step(schedule, v, 99, -1, x_t, noise=noise)
    clean = schedule.predict_x0(v, x_t, torch.tensor([99, 99]))
    torch.testing.assert_close(step.x_prev, clean.detach())
    assert step.std == 0.0
    assert torch.equal(step.log_prob, torch.zeros(2))
    assert not step.log_prob.requires_grad


def test_rounding_stored_states_would_move_the_ratio(schedule: NoiseSchedule) -> None:
    """Why trajectories are kept in float32: bfloat16 alone leaves PPO's clip range of 1e-4."""
    v, x_t, noise = tensors(3)
    sampled = ddpm_step(schedule, v, 499, 479, x_t, noise=noise)
    rounded = ddpm_step(schedule, v, 499, 479, x_t, x_prev=sampled.x_prev.bfloat16())
    assert (rounded.log_prob - sampled.log_prob).exp().sub(1).abs().max() > 1e-4


def test_wrong_use_is_refused(schedule: NoiseSchedule) -> None:
    v, x_t, noise = tensors(3)
    with pytest.raises(ValueError, match="exactly one"):
        ddpm_step(schedule, v, 499, 399, x_t)
    with pytest.raises(ValueError, match="t_prev"):
        ddpm_step(schedule, v, 499, 499, x_t, noise=noise)
    with pytest.raises(ValueError, match="eta"):
        step_coefficients(schedule, 499, 399, eta=1.5)
