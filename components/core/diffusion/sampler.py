"""Ancestral sampling with classifier-free guidance, with or without the trajectory.

Each sample draws all of its noise from a generator of its own, seeded by its own seed, so that an
image does not depend on the batch it is computed in. All sampling goes through one loop, `follow`:
what reinforcement learning trains is what users get.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from components.core.diffusion.denoiser import PromptEmbeds, guided_velocity
from components.core.diffusion.model import TextToImage
from components.core.diffusion.step import Step, ddpm_step
from components.core.materials.grid import unpack
from components.core.materials.material import FloatArray, Material

Progress = Callable[[int, int], None]  # called with (steps done, steps in all)
Draw = Callable[[tuple[int, ...]], Tensor]
Learn = Callable[[Tensor], None]
"""Called with log-probabilities (B,) that can be differentiated."""


@dataclass(frozen=True)
class Variation:
    """A seed near another one: all noise is that of `of`, turned towards that of `seed`.

    strength: 0 gives the sample of `of`, 1 that of `seed`. In between the noise is
    cos(a) n_of + sin(a) n_seed with a = strength * pi / 2, which has unit variance again.
    """

    seed: int
    of: Seed
    strength: float


Seed: TypeAlias = "int | Variation"


@dataclass(frozen=True)
class Move:
    """A step of a way from noise to image: from `t` to `t_prev`, with the noise of `eta`
    (`step_coefficients`)."""

    t: int
    t_prev: int
    eta: float = 1.0


@dataclass(frozen=True)
class Trajectory:
    """Denoising trajectories of B samples over S steps."""

    latents_bschw: Tensor  # (B, S + 1, C, H, W) float32, from pure noise to the clean latents
    log_probs_bs: Tensor  # (B, S) float32; 0 where nothing is drawn, as in the last column
    transitions_s: list[tuple[int, int]]  # (t, t_prev) of each step

    @property
    def timesteps_s(self) -> list[int]:
        """The timestep of each step."""
        return [t for t, _ in self.transitions_s]

    @property
    def final_bchw(self) -> Tensor:
        """The clean latents."""
        return self.latents_bschw[:, -1]


def sample(
    model: TextToImage,
    prompts: Sequence[str] | PromptEmbeds,
    seeds: Sequence[Seed],
    *,
    steps: int,
    guidance: float,
    eta: float = 1.0,
    rescale: float = 0.0,
    progress: Progress | None = None,
) -> Tensor:
    """Clean latents (B, C, H, W) of one batch; decode them with `model.decode`."""
    states = _denoise(model, prompts, seeds, steps, guidance, eta, rescale, progress)
    return deque(states, maxlen=1)[0].x_prev


def sample_trajectory(
    model: TextToImage,
    prompts: Sequence[str] | PromptEmbeds,
    seeds: Sequence[Seed],
    *,
    steps: int,
    guidance: float,
    rescale: float = 0.0,
    progress: Progress | None = None,
) -> Trajectory:
    """Sample with every state and log-prob kept, eta 1; float32, since rounding moves ratios.

    Reinforcement learning samples along paths (`ddpo_lora.path`); the full one is this.
    """
    states, log_probs = [draw_noise(model, [noise_source(seed) for seed in seeds])], []
    for step in _denoise(model, prompts, seeds, steps, guidance, 1.0, rescale, progress):
        states.append(step.x_prev)
        log_probs.append(step.log_prob)
    return Trajectory(
        torch.stack(states, dim=1),
        torch.stack(log_probs, dim=1),
        model.schedule.transitions(steps),
    )


def generate_materials(
    model: TextToImage,
    prompts: Sequence[str],
    seeds: Sequence[Seed],
    steps: int = 50,
    guidance: float = 5.0,
    *,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> list[Material]:
    """Materials from prompts: sample grids batch by batch, decode, unpack."""
    materials: list[Material] = []
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        advance = None if progress is None else _part_of(progress, start, len(batch), len(prompts))
        latents = sample(
            model,
            batch,
            seeds[start : start + batch_size],
            steps=steps,
            guidance=guidance,
            progress=advance,
        )
        for image_hwc, prompt in zip(model.decode(latents).cpu(), batch, strict=True):
            grid: FloatArray = image_hwc.numpy()
            materials.append(unpack(grid, caption=prompt))
    return materials


def _part_of(progress: Progress, start: int, size: int, total: int) -> Progress:
    """Progress of one batch as a part of all samples, in sample steps."""
    return lambda step, steps: progress(start * steps + step * size, total * steps)


def noise_source(seed: Seed) -> Draw:
    """What draws the noise of one sample: standard normal, on the CPU, one shape after the other.

    On the CPU the same seed gives the same noise for every device.
    """
    if isinstance(seed, Variation):
        near, new = noise_source(seed.of), noise_source(seed.seed)
        angle = seed.strength * math.pi / 2
        return lambda shape: math.cos(angle) * near(shape) + math.sin(angle) * new(shape)
    generator = torch.Generator().manual_seed(int(seed))
    return lambda shape: torch.randn(shape, generator=generator)


def draw_noise(model: TextToImage, sources: Sequence[Draw]) -> Tensor:
    """Standard normal noise (B, C, H, W) on the model's device, each from its own source."""
    return torch.stack([draw(model.latent_shape) for draw in sources]).to(model.device)


def _denoise(
    model: TextToImage,
    prompts: Sequence[str] | PromptEmbeds,
    seeds: Sequence[Seed],
    steps: int,
    guidance: float,
    eta: float,
    rescale: float,
    progress: Progress | None,
) -> Iterator[Step]:
    embeds = prompts if isinstance(prompts, PromptEmbeds) else model.encode_prompts(prompts)
    if len(embeds) != len(seeds):
        raise ValueError(f"{len(embeds)} prompts but {len(seeds)} seeds")
    sources = [noise_source(seed) for seed in seeds]
    latents = draw_noise(model, sources)
    path = [Move(t, t_prev, eta) for t, t_prev in model.schedule.transitions(steps)]
    return follow(
        model, embeds, latents, sources, path, guidance=guidance, rescale=rescale,
        progress=progress,
    )  # fmt: skip


@torch.no_grad()
def follow(
    model: TextToImage,
    embeds: PromptEmbeds,
    latents_bchw: Tensor,
    sources: Sequence[Draw],
    path: Sequence[Move],
    *,
    guidance: float,
    rescale: float = 0.0,
    progress: Progress | None = None,
    learn: Mapping[int, Learn] | None = None,
) -> Iterator[Step]:
    """Every step of a way, from latents that lie at its first move's `t`.

    Each sample's noise comes from its source, at every move, also where the move has none.

    learn: of moves by number, what is given the log-probabilities of that step before the next.
    """
    latents = latents_bchw
    for index, move in enumerate(path):
        taught = None if learn is None else learn.get(index)
        with torch.set_grad_enabled(taught is not None):
            velocity = guided_velocity(
                model.unet,
                latents,
                move.t,
                embeds,
                model.image_size,
                guidance=guidance,
                rescale=rescale,
            )
            noise = draw_noise(model, sources)
            step = ddpm_step(
                model.schedule, velocity, move.t, move.t_prev, latents, noise=noise, eta=move.eta
            )
        if taught is not None:
            del velocity  # and with it the graph, before the next pass makes its own
            taught(step.log_prob)
            step = Step(step.x_prev, step.log_prob.detach(), step.mean.detach(), step.std)
        latents = step.x_prev
        if progress is not None:
            progress(index + 1, len(path))
        yield step
