"""Training data: the cache of latents and embeddings, and the order in which it is seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.core.diffusion.denoiser import PromptEmbeds
from components.core.diffusion.model import TextToImage
from components.core.errors import UserError
from components.sdxl_finetune.cache import (
    GRIDS,
    INDEX,
    ITEMS_PER_SHARD,
    PROMPTS,
    Encoder,
    prepare,
)
from components.sdxl_finetune.cache_key import cache_key
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.encode import encode_in_processes
from components.sdxl_finetune.grids import GridSet
from components.sdxl_finetune.shard_file import map_arrays


def build_cache(
    dataset: Sequence[Path], model: TextToImage, config: Config, folder: Path, key: str = ""
) -> None:
    """Make `folder` the cache of this data and model; nothing if it is.

    An interrupted one is continued; one of other data, encoders or augmentation is replaced.
    key: the cache's, where it is known already.
    """
    key = key or cache_key(dataset, model, config)
    if prepare(folder, key):
        return
    encoder = Encoder(GridSet.open(dataset, model.image_size), model, config, key)
    encode_in_processes(dataset, config, folder, key, encoder.missing(folder))
    encoder.write(folder, encoder.missing(folder))
    encoder.finish(folder)


class TrainingData:
    """The cache, opened for training; what a process does not use it does not read."""

    def __init__(self, folder: Path) -> None:
        """UserError if a shard is missing or truncated."""
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(f"{folder} holds no complete cache: start the stage again") from error
        self._folder, self._count = folder, int(index["items"])
        shards = [map_arrays(folder / name, index["key"]) for name in index["shards"]]
        self._latents = [shard for shard in shards if "latents" in shard]
        self._embeds = [shard for shard in shards if "tokens" in shard]

    def __len__(self) -> int:
        return self._count

    @cached_property
    def prompt_of_item(self) -> NDArray[np.int64]:
        """(N,) the row of `prompts.json` that each item has."""
        return np.concatenate([shard["prompts"] for shard in self._latents])

    def batch(self, items: NDArray[np.int64]) -> tuple[Tensor, PromptEmbeds, Tensor]:
        """Latents (B, C, h, w), embeddings, and `time_ids` of these items."""
        prompts = self.prompt_of_item[items]
        tokens, pooled = (_rows(self._embeds, name, prompts) for name in ("tokens", "pooled"))
        latents = _rows(self._latents, "latents", items)
        return latents, PromptEmbeds(tokens, pooled), self.time_ids(items)

    def time_ids(self, items: NDArray[np.int64]) -> Tensor:
        """Size and crop (B, 6) of the pictures that were encoded, as `denoiser.time_ids`."""
        return _rows(self._latents, "time_ids", items)

    def name_of(self, item: int) -> str:
        """Which grid an item is, for people: key, shard and caption; the files are read anew."""
        grids = json.loads((self._folder / GRIDS).read_text(encoding="utf-8"))
        prompts = json.loads((self._folder / PROMPTS).read_text(encoding="utf-8"))
        variant, index = divmod(item, len(grids))
        folder, shard, key = grids[index]
        version = f", augmented version {variant}" if variant else ""
        prompt = prompts[int(self.prompt_of_item[item])]
        return f"{key} of {folder}/{shard} '{prompt}'{version}"


def _rows(shards: list[dict[str, NDArray[Any]]], name: str, rows: NDArray[np.int64]) -> Tensor:
    places = [divmod(int(row), ITEMS_PER_SHARD) for row in rows]
    return torch.from_numpy(np.stack([shards[shard][name][row] for shard, row in places]))


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
