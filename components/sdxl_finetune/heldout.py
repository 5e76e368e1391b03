"""The loss of grids that are never trained on, with the same noise and timesteps every time.

What is left to chance in the training loss is fixed here, so that the curve is smooth and its
rise means that the model begins to learn grids by heart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from components.core.diffusion.denoiser import PromptEmbeds
from components.core.diffusion.loss import loss_by_timestep, v_prediction_loss
from components.core.diffusion.model import TextToImage
from components.core.diffusion.schedule import NoiseSchedule
from components.core.platform.seeds import derive_seed
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.grids import GridSet
from components.sdxl_finetune.safety import summed
from components.sdxl_finetune.samples import LeftOff

HELDOUT = "heldout.safetensors"


def build_heldout(dataset: Sequence[Path], model: TextToImage, config: Config, file: Path) -> int:
    """Encode grids of the split "test" to `file`; returns how many, 0 where there are none.

    They are spread evenly over the split, at most `heldout_items` of them. UserError if the shard
    of one is missing or damaged, or a grid has another size than the model's images.
    """
    grids = GridSet.select(dataset, model.image_size, "test", config.heldout_items)
    rows = json.dumps(grids.rows)
    if not len(grids) or _rows_of(file) == rows:
        return len(grids)
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(grids), config.encode_batch_size):
        part = range(start, min(start + config.encode_batch_size, len(grids)))
        images = torch.from_numpy(np.stack([grids.grid(index) for index in part])).float() / 255.0
        embeds = model.encode_prompts([grids.prompts[index] for index in part])
        latents = model.encode(images)
        tensors = {"latents": latents, "tokens": embeds.tokens_bld, "pooled": embeds.pooled_bd}
        parts.append({name: value.cpu() for name, value in tensors.items()})
    whole = {name: torch.cat([part[name] for part in parts]).contiguous() for name in parts[0]}
    partial = file.with_name(f".{file.name}.partial")
    save_file(whole, partial, metadata={"rows": rows})
    partial.rename(file)
    return len(grids)


def _rows_of(file: Path) -> str:
    """Which grids an attempt of before has encoded; their number may have been changed since."""
    if not file.exists():
        return ""
    with safe_open(file, framework="pt") as found:
        return str((found.metadata() or {}).get("rows", ""))


class Heldout:
    """Measures the loss of held-out grids; the processes divide them."""

    def __init__(self, file: Path, config: Config, schedule: NoiseSchedule) -> None:
        tensors = load_file(file)
        self._latents = tensors["latents"]
        self._embeds = PromptEmbeds(tensors["tokens"], tensors["pooled"])
        self._schedule, self._size = schedule, config.micro_batch_size
        count = len(self._latents)
        generator = torch.Generator().manual_seed(derive_seed(config.seed, "heldout"))
        self._noise = torch.randn(self._latents.shape, generator=generator)
        # Evenly over the timesteps, in an order that has nothing to do with that of the grids.
        strata = (torch.randperm(count, generator=generator) + 0.5) / count
        self._t = (strata * schedule.train_steps).long()

    @torch.no_grad()
    def measure(
        self, engine: Any, image_size: int, stop: Callable[[], bool] = lambda: False
    ) -> dict[str, float]:
        """`heldout_loss`, and by quarter of the timesteps; all processes call this.

        `stop` is asked between passes; `LeftOff` once it is true.
        """
        count, processes = len(self._latents), torch.distributed.get_world_size()
        share = -(-count // processes)
        # Equally many passes in each process, which ZeRO 3 needs: the last ones begin again.
        losses = torch.zeros(share * processes, device=engine.device)
        first = torch.distributed.get_rank() * share
        engine.eval()
        for start in range(first, first + share, self._size):
            if stop():
                engine.train()
                raise LeftOff
            places = torch.arange(start, min(start + self._size, first + share))
            rows = places % count
            losses[places] = v_prediction_loss(
                engine,
                self._schedule,
                self._latents[rows].to(engine.device),
                self._embeds[rows].to(engine.device),
                self._noise[rows].to(engine.device),
                self._t[rows].to(engine.device),
                image_size,
            )
        engine.train()
        losses = summed(losses)[:count]
        by_timestep = loss_by_timestep(losses, self._t, self._schedule.train_steps)
        found = {"loss": float(losses.mean()), **by_timestep}
        return {f"heldout_{name}": value for name, value in found.items()}
