"""Grids and captions as latents and embeddings, computed once before training.

Neither the VAE nor the text encoders are trained, so nothing of them runs inside the training
loop. Augmentation therefore happens before encoding: each grid has a few fixed variants. All maps
of a grid move together, each inside its own quadrant, and nothing is cropped, so that SDXL's crop
conditioning is (0, 0) in truth.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.core.diffusion.denoiser import PromptEmbeds
from components.core.diffusion.model import TextToImage
from components.core.errors import UserError
from components.core.materials.prompts import prompt_of
from components.core.materials.shards import INDEX, GridShards
from components.core.platform.progress import track
from components.sdxl_finetune.config import Config

Grid = NDArray[np.uint8]  # (2R, 2R, 3)


@dataclass(frozen=True)
class GridSet:
    """The training split of a `material-grids` artifact."""

    grids: GridShards
    rows: list[int]  # which of them are for training
    prompts: list[str]  # one for each row

    @classmethod
    def open(cls, dataset: Sequence[Path], image_size: int) -> GridSet:
        """Open the artifact's folders; its grids must have the model's size."""
        grids = GridShards.open(dataset)
        entries = grids.entries
        shape = grids.grid(0).shape
        if shape != (image_size, image_size, 3):
            raise UserError(
                f"{dataset[0]} holds grids of shape {shape}, but the model needs ({image_size}, "
                f"{image_size}, 3): set synthetic_data's map size to {image_size // 2}"
            )
        rows = [row for row, entry in enumerate(entries) if entry["split"] == "train"]
        if not rows:
            raise UserError(f"{dataset[0] / INDEX} has no entry with the split 'train'")
        prompts = [prompt_of(entries[r]["category"], entries[r]["caption"]) for r in rows]
        return cls(grids, rows, prompts)


def augment(grid: Grid, rng: np.random.Generator, config: Config) -> Grid:
    """Shift, mirror and turn the four maps of a grid in the same way, each in its quadrant."""
    side = grid.shape[0] // 2
    shift = tuple(rng.integers(0, side, size=2)) if config.rolls else (0, 0)
    mirrored = config.flips and rng.random() < 0.5
    turns = int(rng.integers(0, 4)) if config.quarter_turns else 0
    result = np.empty_like(grid)
    for top in (0, side):
        for left in (0, side):
            quadrant = grid[top : top + side, left : left + side]
            quadrant = np.roll(quadrant, shift, axis=(0, 1))
            quadrant = quadrant[:, ::-1] if mirrored else quadrant
            result[top : top + side, left : left + side] = np.rot90(quadrant, turns)
    return result


def build_cache(dataset: Sequence[Path], model: TextToImage, config: Config, folder: Path) -> None:
    """Write latents and embeddings to `folder`, whole or not at all; nothing if it exists."""
    if folder.exists():
        return
    grids = GridSet.open(dataset, model.image_size)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    prompts = sorted(set(grids.prompts))
    _write_embeds(prompts, model, config, partial)
    _write_latents(grids, model, config, partial)
    number = {prompt: index for index, prompt in enumerate(prompts)}
    which = [number[prompt] for prompt in grids.prompts]
    np.save(partial / "prompt_of_item.npy", np.tile(which, config.variants_per_grid))
    (partial / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    partial.rename(folder)


def _write_embeds(prompts: list[str], model: TextToImage, config: Config, folder: Path) -> None:
    tokens: Any = None
    pooled: Any = None
    size = config.encode_batch_size
    for start in range(0, len(prompts), size):
        embeds = model.encode_prompts(prompts[start : start + size])
        if tokens is None:
            tokens = _new_array(folder / "tokens.npy", len(prompts), embeds.tokens_bld)
            pooled = _new_array(folder / "pooled.npy", len(prompts), embeds.pooled_bd)
        tokens[start : start + size] = embeds.tokens_bld.cpu().numpy()
        pooled[start : start + size] = embeds.pooled_bd.cpu().numpy()
    tokens.flush()
    pooled.flush()


def _write_latents(grids: GridSet, model: TextToImage, config: Config, folder: Path) -> None:
    count = len(grids.rows) * config.variants_per_grid
    shape = (count, *model.latent_shape)
    latents = np.lib.format.open_memmap(folder / "latents.npy", "w+", np.float32, shape)
    starts = range(0, count, config.encode_batch_size)
    for start in track(starts, "encoding grids"):
        stop = min(start + config.encode_batch_size, count)
        batch = np.stack([_variant(grids, item, config) for item in range(start, stop)])
        images = torch.from_numpy(batch).float() / 255.0
        latents[start:stop] = model.encode(images).cpu().numpy()
    latents.flush()


def _variant(grids: GridSet, item: int, config: Config) -> Grid:
    variant, row = divmod(item, len(grids.rows))
    grid = grids.grids.grid(grids.rows[row])
    if variant == 0:
        return grid
    return augment(grid, np.random.default_rng([config.seed, item]), config)


def _new_array(path: Path, count: int, like: Tensor) -> Any:
    return np.lib.format.open_memmap(path, "w+", np.float32, (count, *like.shape[1:]))


class TrainingData:
    """The cache, opened for training; latents and embeddings stay on disk."""

    def __init__(self, folder: Path) -> None:
        self.latents = np.load(folder / "latents.npy", mmap_mode="r")
        self.tokens = np.load(folder / "tokens.npy", mmap_mode="r")
        self.pooled = np.load(folder / "pooled.npy", mmap_mode="r")
        self.prompt_of_item = np.load(folder / "prompt_of_item.npy")

    def __len__(self) -> int:
        return len(self.latents)

    def batch(
        self, items: NDArray[np.int64], device: torch.device | str
    ) -> tuple[Tensor, PromptEmbeds]:
        """Latents (B, C, h, w) and embeddings of these items."""
        prompts = self.prompt_of_item[items]
        embeds = PromptEmbeds(
            torch.from_numpy(self.tokens[prompts]), torch.from_numpy(self.pooled[prompts])
        )
        return torch.from_numpy(self.latents[items]).to(device), embeds.to(device)


def batch_items(seed: int, step: int, batch_size: int, count: int) -> NDArray[np.int64]:
    """The items of one optimizer step: a fresh permutation every epoch, a function of the step.

    Nothing has to be stored to resume in the middle of an epoch.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // count
    items = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        order = np.random.default_rng([seed, int(epoch)]).permutation(count)
        chosen = epochs == epoch
        items[chosen] = order[positions[chosen] % count]
    return items
