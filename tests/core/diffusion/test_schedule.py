"""Zero terminal SNR, v-prediction and trailing spacing."""

import itertools

import pytest
import torch
from diffusers import DDPMScheduler

from components.core.diffusion.schedule import (
    SCHEDULER_SETTINGS,
    NoiseSchedule,
    scheduler_settings,
)
from components.core.errors import UserError


@pytest.fixture
def schedule() -> NoiseSchedule:
    return NoiseSchedule.from_scheduler(DDPMScheduler(**SCHEDULER_SETTINGS))


def test_last_training_step_is_pure_noise(schedule: NoiseSchedule) -> None:
    x0, noise = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4)
    t = torch.tensor([999])
    assert torch.equal(schedule.add_noise(x0, noise, t), noise)
    assert torch.equal(schedule.velocity(x0, noise, t), -x0)


def test_noise_and_velocity_agree_with_diffusers(schedule: NoiseSchedule) -> None:
    theirs = DDPMScheduler(**SCHEDULER_SETTINGS)
    x0, noise = torch.randn(5, 2, 4, 4), torch.randn(5, 2, 4, 4)
    t = torch.tensor([0, 100, 500, 900, 998])
    torch.testing.assert_close(schedule.add_noise(x0, noise, t), theirs.add_noise(x0, noise, t))
    torch.testing.assert_close(
        schedule.velocity(x0, noise, t), theirs.get_velocity(x0, noise, t), atol=1e-5, rtol=1e-5
    )


def test_velocity_gives_the_clean_latents_back(schedule: NoiseSchedule) -> None:
    x0, noise = torch.randn(4, 2, 4, 4), torch.randn(4, 2, 4, 4)
    t = torch.tensor([0, 300, 998, 999])
    x_t, v = schedule.add_noise(x0, noise, t), schedule.velocity(x0, noise, t)
    torch.testing.assert_close(schedule.predict_x0(v, x_t, t), x0)


@pytest.mark.parametrize("steps", [1, 3, 7, 10, 25, 30, 50, 1000])
def test_trailing_timesteps_start_at_pure_noise(schedule: NoiseSchedule, steps: int) -> None:
    timesteps = schedule.timesteps(steps)
    theirs = DDPMScheduler(**SCHEDULER_SETTINGS)
    theirs.set_timesteps(steps)
    assert timesteps[0] == 999
    assert len(timesteps) == len(set(timesteps)) == steps
    assert timesteps == theirs.timesteps[:steps].tolist()


def test_transitions_join_and_end_clean(schedule: NoiseSchedule) -> None:
    # 1000 // 30 = 33 would make neighbours that are not on the path.
    transitions = schedule.transitions(30)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(transitions))
    assert transitions[-1][1] == -1


def test_epsilon_schedule_of_sdxl_is_converted_and_keeps_its_betas() -> None:
    sdxl = {"prediction_type": "epsilon", "beta_start": 0.001, "timestep_spacing": "leading"}
    settings = scheduler_settings(sdxl)
    assert settings["prediction_type"] == "v_prediction"
    assert settings["rescale_betas_zero_snr"] is True
    assert settings["timestep_spacing"] == "trailing"
    assert settings["clip_sample"] is False
    assert settings["beta_start"] == 0.001


def test_epsilon_with_zero_snr_is_refused() -> None:
    with pytest.raises(UserError, match="v_prediction"):
        scheduler_settings({"prediction_type": "epsilon", "rescale_betas_zero_snr": True})
