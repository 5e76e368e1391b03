"""The noise schedule: zero terminal SNR, v-prediction, trailing timesteps.

With zero terminal SNR (Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are
Flawed"; used by the paper in section 5) the last training step is pure noise, so that a sample
may reach solid white or black: a metallic map next to an albedo map in one grid. It needs
v-prediction, since epsilon carries no information about the image at that step, and trailing
timesteps, since otherwise that step is trained but never sampled.

Coefficients are kept in float64; tensors keep their own dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.core.errors import UserError

# SDXL's own betas (scaled linear, 1000 steps) with the three settings above.
SCHEDULER_SETTINGS: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "steps_offset": 0,
}
_BETA_KEYS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")


def scheduler_settings(config: Mapping[str, Any], source: str = "the scheduler") -> dict[str, Any]:
    """The settings to build our scheduler from, given a model's own scheduler configuration.

    An ordinary epsilon schedule (SDXL base) is converted, keeping its betas: fine-tuning moves the
    UNet to v-prediction. Epsilon with zero terminal SNR is refused: it is not finite at t = 999.
    """
    prediction = config.get("prediction_type", "epsilon")
    if config.get("rescale_betas_zero_snr", False) and prediction != "v_prediction":
        raise UserError(
            f"{source} combines prediction_type={prediction!r} with rescale_betas_zero_snr, which "
            "has no finite value at the last step; set prediction_type to 'v_prediction'"
        )
    kept = {key: config[key] for key in _BETA_KEYS if config.get(key) is not None}
    return SCHEDULER_SETTINGS | kept


@dataclass(frozen=True)
class NoiseSchedule:
    """Cumulative signal level of every training step; index -1 stands for the clean image."""

    alphas_cumprod: Tensor  # (T,) float64, decreasing, the last one exactly 0; on any device

    @classmethod
    def from_scheduler(cls, scheduler: Any) -> NoiseSchedule:
        """Read the schedule of a diffusers scheduler (see `scheduler_settings`)."""
        config = scheduler.config
        if config.prediction_type != "v_prediction" or not config.rescale_betas_zero_snr:
            raise ValueError("the schedule needs v_prediction and rescale_betas_zero_snr")
        alphas_cumprod = scheduler.alphas_cumprod.detach().to("cpu", torch.float64).clone()
        # Some schedulers put 2^-24 here to keep epsilon finite; v needs no such aid.
        alphas_cumprod[-1] = 0.0
        return cls(alphas_cumprod)

    def to(self, device: torch.device | str) -> NoiseSchedule:
        """The same on another device, on which its timesteps then need not be waited for."""
        return NoiseSchedule(self.alphas_cumprod.to(device))

    @property
    def train_steps(self) -> int:
        """Number T of training timesteps."""
        return len(self.alphas_cumprod)

    def timesteps(self, steps: int) -> list[int]:
        """`steps` timesteps from T-1 downwards, trailing spacing (rounded, never `T // steps`)."""
        if not 1 <= steps <= self.train_steps:
            raise ValueError(f"steps must be in 1..{self.train_steps}, got {steps}")
        descending = np.arange(self.train_steps, 0, -self.train_steps / steps)[:steps]
        return [int(t) for t in np.round(descending).astype(np.int64) - 1]

    def transitions(self, steps: int) -> list[tuple[int, int]]:
        """Pairs (t, t_prev) of a whole sampling run; the last one ends at the clean image, -1."""
        timesteps = self.timesteps(steps)
        return list(zip(timesteps, [*timesteps[1:], -1], strict=True))

    def alpha_bar(self, t: int) -> float:
        """Signal power at timestep t; 1 for the clean image (t = -1)."""
        return 1.0 if t < 0 else float(self.alphas_cumprod[t])

    def _levels(self, t_b: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        alpha_bar = self.alphas_cumprod[t_b.to(self.alphas_cumprod.device, torch.long)]
        shape = (-1,) + (1,) * (like.ndim - 1)
        signal, noise = alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()
        return signal.to(like).view(shape), noise.to(like).view(shape)

    def add_noise(self, x0: Tensor, noise: Tensor, t_b: Tensor) -> Tensor:
        """x_t from clean latents; `t_b` is a (B,) tensor of timesteps."""
        signal, sigma = self._levels(t_b, x0)
        return signal * x0 + sigma * noise

    def velocity(self, x0: Tensor, noise: Tensor, t_b: Tensor) -> Tensor:
        """The training target v = sqrt(a) noise - sqrt(1 - a) x0 (Salimans & Ho 2022)."""
        signal, sigma = self._levels(t_b, x0)
        return signal * noise - sigma * x0

    def predict_x0(self, v: Tensor, x_t: Tensor, t_b: Tensor) -> Tensor:
        """The clean latents which a velocity implies."""
        signal, sigma = self._levels(t_b, x_t)
        return signal * x_t - sigma * v
