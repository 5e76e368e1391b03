"""Fine-tuning as diffusers' public SDXL script does it, to compare with.

From facts about `examples/text_to_image/train_text_to_image_sdxl.py`: at each start all images and
captions are encoded and held in memory; a shuffling loader gives batches; noise and timesteps are
drawn for each batch, size conditioning is made for each image; mixed precision by autocast,
gradients clipped, AdamW, the loss read out every step. Less is done than there (nothing passes
through a table on disk, no accelerate, no log), so that the comparison favours the script.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.utils.data import DataLoader

from components.core.diffusion.model import TextToImage


@dataclass(frozen=True)
class Example:
    """One image in the memory of the script."""

    latents_chw: Tensor
    tokens_ld: Tensor
    pooled_d: Tensor
    size: tuple[int, int]
    crop: tuple[int, int]


def encode_all(
    model: TextToImage, images: Sequence[np.ndarray], captions: Sequence[str], batch: int
) -> list[Example]:
    """What the script does before its first step, every time."""
    examples = []
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        latents = model.encode(torch.from_numpy(np.stack(images[part])).float() / 255.0).cpu()
        embeds = model.encode_prompts(captions[part]).to("cpu")
        side = model.image_size
        examples += [
            Example(latents[i], embeds.tokens_bld[i], embeds.pooled_bd[i], (side, side), (0, 0))
            for i in range(len(latents))
        ]
    return examples


def collate(examples: Sequence[Example]) -> dict[str, Any]:
    """A batch of the loader."""
    return {
        "latents": torch.stack([e.latents_chw for e in examples]),
        "tokens": torch.stack([e.tokens_ld for e in examples]),
        "pooled": torch.stack([e.pooled_d for e in examples]),
        "sizes": [e.size for e in examples],
        "crops": [e.crop for e in examples],
    }


class PublicScript:
    """The script's loop around a UNet, which it changes.

    learning_rate … ema_decay: as in the stage's settings, so that both do the same work.
    """

    def __init__(
        self,
        unet: nn.Module,
        scheduler: Any,
        *,
        autocast: bool,
        learning_rate: float,
        weight_decay: float = 1e-2,
        max_norm: float = 1.0,
        ema_decay: float = 0.0,
    ) -> None:
        self.unet, self.scheduler = unet.requires_grad_(True).train(), scheduler
        self.device = next(unet.parameters()).device
        self.autocast, self.max_norm = autocast, max_norm
        self.optimizer = torch.optim.AdamW(
            unet.parameters(), lr=learning_rate, weight_decay=weight_decay
        )
        self.warmup = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1.0)
        self.ema = EMAModel(unet.parameters(), decay=ema_decay) if ema_decay else None

    def seconds(self, batches: Iterator[dict[str, Any]], steps: int) -> list[tuple[float, float]]:
        """Wall and processor time of each of so many steps."""
        times = []
        for _ in range(steps):
            started, used = time.perf_counter(), time.process_time()
            self.step(next(batches))
            times.append((time.perf_counter() - started, time.process_time() - used))
        return times

    def step(self, batch: dict[str, Any]) -> float:
        """One optimizer step; returns the loss."""
        latents = batch["latents"].to(self.device)
        noise = torch.randn_like(latents)
        count = self.scheduler.config.num_train_timesteps
        t = torch.randint(0, count, (len(latents),), device=self.device)
        noisy = self.scheduler.add_noise(latents, noise, t)
        ids = [
            torch.tensor([[*size, *crop, *size]], dtype=torch.float32, device=self.device)
            for size, crop in zip(batch["sizes"], batch["crops"], strict=True)
        ]
        added = {"text_embeds": batch["pooled"].to(self.device), "time_ids": torch.cat(ids)}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            predicted = self.unet(
                noisy, t, batch["tokens"].to(self.device), added_cond_kwargs=added,
                return_dict=False,
            )[0]  # fmt: skip
        target = self.scheduler.get_velocity(latents, noise, t)
        loss = nn.functional.mse_loss(predicted.float(), target.float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), self.max_norm)
        self.optimizer.step()
        self.warmup.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.step(self.unet.parameters())
        return float(loss.detach())


def endless(examples: Sequence[Example], batch: int) -> Iterator[dict[str, Any]]:
    """Batches of the script's loader, epoch after epoch."""
    loader = DataLoader(examples, batch, shuffle=True, drop_last=True, collate_fn=collate)  # type: ignore[arg-type]
    while True:
        yield from loader
