"""Trains the small model's AutoencoderKL on grids and renderings, each half by itself.

Its latents are principal components (see `principal`), so encoder and decoder have fixed targets.
Three quarters of a grid are grey, so a plain pixel loss forgets colour; and the mean of possible
textures is a blur. Hence three terms beside the pixels: chroma, a Laplacian pyramid, and the local
energy of each of its bands, which asks for the right amount of detail where its exact place is
lost in the latents.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn

from components.core.materials.augment import augment_grid, symmetric
from components.core.platform.progress import track
from components.pretraining.checkpoint import restore, store
from components.pretraining.principal import PatchBasis
from components.pretraining.rate import schedule

LossOf = Callable[[Tensor, torch.Generator], Tensor]
"""What a half is trained by: images (B, 3, S, S) in [-1, 1] to a scalar."""

CHROMA_WEIGHT = 1.0
DETAIL_WEIGHT = 1.0
ENERGY_WEIGHT = 0.6
LATENT_NOISE = 0.15
ENCODER_LOG_VARIANCE = -6.0

SHIFTED_SHARE = 0.3
"""Grids that are shifted and mirrored; the others are seen as the denoiser makes them."""

CROPPED_SHARE = 0.85
"""The first steps see crops of half the side: four times as many steps in the same time."""


def bands(images_bchw: Tensor, levels: int = 3) -> list[Tensor]:
    """A Laplacian pyramid: what each halving of the resolution loses."""
    result = []
    for _ in range(levels):
        smaller = F.avg_pool2d(images_bchw, 2)
        result.append(images_bchw - F.interpolate(smaller, scale_factor=2.0, mode="nearest"))
        images_bchw = smaller
    return result


def energy(band_bchw: Tensor) -> Tensor:
    """Root mean square of a band over neighbourhoods of 8 × 8."""
    return (F.avg_pool2d(band_bchw.square(), 8, stride=4) + 1e-5).sqrt()


def reconstruction_loss(decoded: Tensor, images: Tensor) -> Tensor:
    """Pixels, chroma, detail and energy; both (B, 3, S, S) in [-1, 1]."""
    loss = (decoded - images).abs().mean()
    chroma = (decoded - decoded.mean(1, keepdim=True)) - (images - images.mean(1, keepdim=True))
    loss = loss + CHROMA_WEIGHT * chroma.abs().mean()
    for made, wanted in zip(bands(decoded), bands(images), strict=True):
        loss = loss + DETAIL_WEIGHT * (made - wanted).abs().mean()
        loss = loss + ENERGY_WEIGHT * (energy(made) - energy(wanted)).abs().mean()
    return loss


def batch(
    grids: NDArray[np.uint8],
    renderings: NDArray[np.uint8],
    size: int,
    crop: int,
    rng: np.random.Generator,
) -> Tensor:
    """`size` images (B, 3, crop, crop) in [-1, 1], three quarters of them grids."""
    chosen = []
    for _ in range(size):
        if rng.random() < 0.75:
            image = grids[rng.integers(len(grids))]
            if rng.random() < SHIFTED_SHARE:
                image = augment_grid(image, rng)
        else:
            image = symmetric(renderings[rng.integers(len(renderings))], rng)
        top, left = rng.integers(0, image.shape[0] - crop + 1, size=2)
        chosen.append(image[top : top + crop, left : left + crop])
    stacked = torch.from_numpy(np.stack(chosen)).permute(0, 3, 1, 2).float()
    return stacked / 127.5 - 1.0


def decoder_loss(vae: AutoencoderKL, basis: PatchBasis) -> LossOf:
    """The decoder's task: images from principal components, disturbed a little.

    The disturbance (`LATENT_NOISE`) is what sampled and encoded latents have and exact ones lack.
    """

    def loss_of(images: Tensor, generator: torch.Generator) -> Tensor:
        latents = basis.encode((images.permute(0, 2, 3, 1) + 1.0) / 2.0)
        level = torch.rand(len(latents), 1, 1, 1, generator=generator) * LATENT_NOISE
        latents = latents + level * torch.randn(latents.shape, generator=generator)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            decoded = vae.decode(latents).sample
        return reconstruction_loss(decoded.float(), images)

    return loss_of


def encoder_loss(vae: AutoencoderKL, basis: PatchBasis) -> LossOf:
    """The encoder's task: a mean that is the principal components, and a small variance."""

    def loss_of(images: Tensor, generator: torch.Generator) -> Tensor:
        latents = basis.encode((images.permute(0, 2, 3, 1) + 1.0) / 2.0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            posterior = vae.encode(images).latent_dist
        error = (posterior.mean.float() - latents).square().mean()
        spread = (posterior.logvar.float() - ENCODER_LOG_VARIANCE).square().mean()
        return error + 1e-3 * spread

    return loss_of


def ease(vae: AutoencoderKL) -> None:
    """Start every residual branch and attention of the autoencoder at zero.

    The network is then a chain of plain convolutions, which learns at once; the depth comes in
    as training finds a use for it.
    """
    for name, module in vae.named_modules():
        if name.endswith(("conv2", "to_out.0")):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


def train_half(
    modules: nn.ModuleList,
    loss_of: LossOf,
    grids: NDArray[np.uint8],
    renderings: NDArray[np.uint8],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    checkpoint: Path,
    seed: int,
) -> None:
    """Train the encoder's or the decoder's `modules`, from `checkpoint` where there is one."""
    optimizer = torch.optim.AdamW(modules.parameters(), lr=learning_rate, weight_decay=1e-4)
    first = restore(checkpoint, modules, optimizer)
    generator = torch.Generator().manual_seed(seed + first)
    rng = np.random.default_rng(np.random.SeedSequence([seed, first]))
    side = grids.shape[1]
    running = float("nan")
    for step in track(range(first, steps), checkpoint.stem, steps - first):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * schedule(step, steps)
        crop = side // 2 if step < CROPPED_SHARE * steps else side
        loss = loss_of(batch(grids, renderings, batch_size, crop, rng), generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimizer.step()
        running = loss.item() if step == first else 0.98 * running + 0.02 * loss.item()
        if step % 50 == 0:
            print(f"{checkpoint.stem} step {step} loss {running:.4f}", flush=True)
        if step % 250 == 249 or step + 1 == steps:
            store(checkpoint, modules, optimizer, step + 1)
