"""One denoising step as a Gaussian policy: sample the next state, or judge a given one.

DDPO (Black et al. 2023) treats each step x_t -> x_prev as an action with the density
Normal(mean, std). The mean is written with the posterior's closed form, in which nothing cancels:
the usual DDIM radicand 1 - a_prev - std^2 is a rounding error below zero at the zero-SNR step.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi, sqrt

import torch
from torch import Tensor

from components.core.diffusion.schedule import NoiseSchedule


@dataclass(frozen=True)
class Step:
    """Result of `ddpm_step`.

    `log_prob` is the mean over C, H and W of the log-density, so that a PPO clip range does not
    depend on the latent size. The transition to the clean image (`t_prev` = -1) has std 0: there
    is nothing to choose, its log_prob is 0 and training skips it.
    """

    x_prev: Tensor  # (B, C, H, W), detached
    log_prob: Tensor  # (B,), float32
    mean: Tensor  # (B, C, H, W)
    std: float


def step_coefficients(
    schedule: NoiseSchedule, t: int, t_prev: int, eta: float = 1.0
) -> tuple[float, float, float]:
    """Factors (of predicted x0, of predicted noise, std) for the step t -> t_prev.

    eta = 1 is ancestral DDPM sampling, eta = 0 deterministic DDIM. With
    k = (1 - a_t / a_prev) / (1 - a_t) in [0, 1]: std^2 = eta^2 (1 - a_prev) k and the factor of
    the noise is sqrt((1 - a_prev) (1 - eta^2 k)), which cannot turn negative.
    """
    if not -1 <= t_prev < t:
        raise ValueError(f"t_prev must be in -1..{t - 1}, got {t_prev}")
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta must be in [0, 1], got {eta}")
    alpha_t, alpha_prev = schedule.alpha_bar(t), schedule.alpha_bar(t_prev)
    share = min(1.0, (1.0 - alpha_t / alpha_prev) / (1.0 - alpha_t))
    std = eta * sqrt((1.0 - alpha_prev) * share)
    return sqrt(alpha_prev), sqrt((1.0 - alpha_prev) * (1.0 - eta**2 * share)), std


def ddpm_step(
    schedule: NoiseSchedule,
    v: Tensor,
    t: int,
    t_prev: int,
    x_t: Tensor,
    *,
    noise: Tensor | None = None,
    x_prev: Tensor | None = None,
    eta: float = 1.0,
) -> Step:
    """Step from t to t_prev with the predicted velocity `v`; all tensors (B, C, H, W).

    Give `noise` (standard normal) to sample the next state, or `x_prev` to evaluate the log-prob
    of a state sampled before. Everything is computed in float32, so that both uses of the same
    numbers give the same log-prob to the last bit.
    """
    if (noise is None) == (x_prev is None):
        raise ValueError("give exactly one of noise and x_prev")
    v, x_t = v.float(), x_t.float()
    alpha_t = schedule.alpha_bar(t)
    signal, sigma = sqrt(alpha_t), sqrt(1.0 - alpha_t)
    x0 = signal * x_t - sigma * v
    epsilon = sigma * x_t + signal * v
    of_x0, of_noise, std = step_coefficients(schedule, t, t_prev, eta)
    mean = of_x0 * x0 + of_noise * epsilon
    if x_prev is None:
        assert noise is not None
        x_prev = mean + std * noise.float()
    x_prev = x_prev.detach().float()
    return Step(x_prev, _log_prob(x_prev, mean, std), mean, std)


def _log_prob(x_prev: Tensor, mean: Tensor, std: float) -> Tensor:
    """Mean log-density over all but the first axis; zero without gradient where std is 0."""
    if std == 0.0:
        return torch.zeros(len(mean), device=mean.device)
    density = -0.5 * ((x_prev - mean) / std) ** 2 - log(std) - 0.5 * log(2.0 * pi)
    return density.flatten(1).mean(dim=1)
