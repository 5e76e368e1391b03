"""The training loss: squared error of the velocity, the same for pretraining and fine-tuning.

No min-SNR weights: with zero terminal SNR their weight at the last step is 0, so that the step
which the schedule was changed for would never be trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from components.core.diffusion.denoiser import PromptEmbeds, predict_velocity
from components.core.diffusion.schedule import NoiseSchedule

TIMESTEP_BUCKETS = 4


def v_prediction_loss(
    unet: nn.Module,
    schedule: NoiseSchedule,
    latents_bchw: Tensor,
    embeds: PromptEmbeds,
    noise_bchw: Tensor,
    t_b: Tensor,
    image_size: int,
    ids_b6: Tensor | None = None,
) -> Tensor:
    """Mean squared error per sample, (B,) float32; `.mean()` is the loss to descend.

    ids_b6: see `predict_velocity`.
    """
    noisy = schedule.add_noise(latents_bchw, noise_bchw, t_b)
    target = schedule.velocity(latents_bchw, noise_bchw, t_b)
    velocity = predict_velocity(unet, noisy, t_b, embeds, image_size, ids_b6)
    return ((velocity - target.float()) ** 2).flatten(1).mean(dim=1)


def loss_by_timestep(losses_b: Tensor, t_b: Tensor, train_steps: int) -> dict[str, float]:
    """Mean loss of each quarter of the timesteps that occurs, named `loss_t0`..`loss_t3`."""
    bucket_b = t_b.cpu() * TIMESTEP_BUCKETS // train_steps
    losses = losses_b.detach().float().cpu()
    return {
        f"loss_t{bucket}": float(losses[bucket_b == bucket].mean())
        for bucket in range(TIMESTEP_BUCKETS)
        if bool(torch.any(bucket_b == bucket))
    }
