"""Trains the small model's UNet and text encoders: the part that SDXL plays in the paper.

Like SDXL, the base draws RGB images: renderings of materials from their captions. Grids appear
under a prefix of their own (`GRID_PREFIX`), as a large image collection holds texture sheets;
stage 1 then teaches the model to answer every prompt with a grid.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from components.core.diffusion.loss import loss_by_timestep, v_prediction_loss
from components.core.diffusion.model import TextToImage
from components.core.diffusion.schedule import NoiseSchedule
from components.core.platform.progress import track
from components.pretraining.checkpoint import restore, store
from components.pretraining.data import GRID_PREFIX, PretrainingSet
from components.pretraining.principal import PatchBasis
from components.pretraining.rate import schedule as learning_rate_schedule

CAPTION_DROPOUT = 0.1
EMA_DECAY = 0.999

HIGH_NOISE = 0.6
"""Timesteps above this share of all count as high noise: there the form of an image is decided."""

HIGH_NOISE_SHARE = 0.75
"""Share of the samples drawn there until the last quarter of training, when it is a third of this.
Only words can tell what noise alone does not, so that is where text is learnt: 3,200 samples above
0.8 lowered the loss at the last timestep by 0.035, as many uniform ones not at all."""


class Trainable(nn.Module):
    """The UNet and both text encoders as one module."""

    def __init__(self, model: TextToImage) -> None:
        super().__init__()
        self.unet = model.unet
        self.text_encoder = model.text_encoder
        self.text_encoder_2 = model.text_encoder_2


def cache_latents(basis: PatchBasis, images: NDArray[np.uint8]) -> Tensor:
    """Latents (N, C, h, w) in float16.

    Not augmented: the patches are linear codes, in which a form shifted by a few pixels looks
    wholly different, and that is too much to learn for so small a model in so short a time.
    """
    parts = [
        basis.encode(torch.from_numpy(images[start : start + 256]).float() / 255.0).half()
        for start in range(0, len(images), 256)
    ]
    return torch.cat(parts)


def train_base(
    model: TextToImage,
    data: PretrainingSet,
    basis: PatchBasis,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    grid_share: float,
    work: Path,
    seed: int,
) -> TextToImage:
    """Train with an exponential moving average; the averaged weights end in `model`.

    Under torchrun every process draws its own batches and gradients are averaged: on a CPU, two
    processes of one thread are faster than one of two. Only rank 0 writes.
    """
    rank = dist.get_rank() if dist.is_initialized() else 0
    grids = cache_latents(basis, data.grids)
    latents = torch.cat([grids, cache_latents(basis, data.renderings)])
    prompts = [GRID_PREFIX + prompt for prompt in data.prompts] + data.rendering_prompts
    image_size = data.grids.shape[1]
    trainable = Trainable(model)
    average = copy.deepcopy(trainable).requires_grad_(False)
    both = nn.ModuleDict({"trainable": trainable, "average": average})
    optimizer = torch.optim.AdamW(
        trainable.parameters(), lr=learning_rate, weight_decay=1e-2, betas=(0.9, 0.99), fused=True
    )
    checkpoint = work / "base.safetensors"
    first = restore(checkpoint, both, optimizer)
    noise_schedule = NoiseSchedule.from_scheduler(model.scheduler)
    generator = torch.Generator().manual_seed(seed + first + 1_000_003 * rank)
    rng = np.random.default_rng(np.random.SeedSequence([seed, first, rank]))
    running: dict[str, float] = {}
    for step in track(range(first, steps), "base model", steps - first):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * learning_rate_schedule(step, steps, 300)
        is_grid = rng.random(batch_size) < grid_share
        low, high = np.where(is_grid, 0, len(grids)), np.where(is_grid, len(grids), len(latents))
        chosen = rng.integers(low, high)
        clean = latents[torch.from_numpy(chosen)].float()
        words = [prompts[i] for i in chosen]
        t = draw_timesteps(batch_size, noise_schedule.train_steps, step / steps, generator)
        noise = torch.randn(clean.shape, generator=generator)
        drop = torch.rand(batch_size, generator=generator) < CAPTION_DROPOUT
        with torch.autocast("cpu", dtype=torch.bfloat16):
            embeds = model.embed_tokens(*model.tokenize(words)).dropped(drop)
            losses = v_prediction_loss(
                model.unet, noise_schedule, clean, embeds, noise, t, image_size
            )
        optimizer.zero_grad(set_to_none=True)
        losses.mean().backward()
        average_gradients(trainable)
        torch.nn.utils.clip_grad_norm_(trainable.parameters(), 1.0)
        optimizer.step()
        update_average(average, trainable, min(EMA_DECAY, (step + 1) / (step + 10)))
        for name, value in loss_by_timestep(losses, t, noise_schedule.train_steps).items():
            running[name] = 0.98 * running.get(name, value) + 0.02 * value
        if step % 100 == 0 and rank == 0:
            parts = " ".join(f"{name} {value:.4f}" for name, value in sorted(running.items()))
            print(f"step {step} {parts}", flush=True)
        if rank == 0 and (step % 250 == 249 or step + 1 == steps):
            store(checkpoint, both, optimizer, step + 1)
    trainable.load_state_dict(average.state_dict())
    return model


def draw_timesteps(
    count: int, train_steps: int, progress: float, generator: torch.Generator
) -> Tensor:
    """`count` timesteps in [0, train_steps), more of them of high noise while progress < 0.75."""
    share = HIGH_NOISE_SHARE if progress < 0.75 else HIGH_NOISE_SHARE / 3
    low = torch.where(torch.rand(count, generator=generator) < share, HIGH_NOISE, 0.0)
    position = low + (1.0 - low) * torch.rand(count, generator=generator)
    return (position * train_steps).long().clamp(max=train_steps - 1)


@torch.no_grad()
def update_average(average: nn.Module, trained: nn.Module, decay: float) -> None:
    """average ← decay · average + (1 - decay) · trained, for every tensor of the state."""
    for own, new in zip(average.parameters(), trained.parameters(), strict=True):
        own.lerp_(new, 1.0 - decay)


def average_gradients(module: nn.Module) -> None:
    """Mean of the gradients over all processes, in one message; alone: nothing to do."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
