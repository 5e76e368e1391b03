"""Training data: the cache of latents and embeddings, and the order in which it is seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.core.diffusion.denoiser import PromptEmbeds
from components.core.diffusion.model import TextToImage
from components.core.errors import UserError
from components.sdxl_finetune.cache import ADDRESS, GRIDS, INDEX, PROMPTS, prepare
from components.sdxl_finetune.cache_key import cache_key
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.encode import encode_here, write_job
from components.sdxl_finetune.mapped import MappedRows
from components.sdxl_finetune.streamed import StreamedRows


def build_cache(
    dataset: Sequence[Path], model: TextToImage, config: Config, folder: Path, key: str = ""
) -> None:
    """Make `folder` the cache of this data and model; nothing if it is.

    An interrupted one is continued; one of other data, encoders or augmentation is replaced.
    key: the cache's, where it is known already.
    """
    key = key or cache_key(dataset, model, config)
    if not prepare(folder, key):
        encode_here(folder, write_job(folder, dataset, config, key), model)


class TrainingData:
    """The cache, opened for training: a folder with its shards, or with the address of these."""

    def __init__(self, folder: Path) -> None:
        """UserError if a shard is missing or truncated."""
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(f"{folder} holds no complete cache: start the stage again") from error
        self._folder, self._count = folder, int(index["items"])
        names, key, address = index["shards"], index["key"], folder / ADDRESS
        self._rows: MappedRows | StreamedRows
        if address.exists():
            self._rows = StreamedRows(address.read_text(encoding="utf-8"), names, key)
        else:
            self._rows = MappedRows(folder, names, key)

    def __len__(self) -> int:
        return self._count

    def batch(self, items: NDArray[np.int64]) -> tuple[Tensor, PromptEmbeds, Tensor]:
        """Latents (B, C, h, w), embeddings, and `time_ids` of these items."""
        latents, embeds = self._rows.read(items, self._rows.prompt_of_item[items])
        return latents, embeds, self.time_ids(items)

    def time_ids(self, items: NDArray[np.int64]) -> Tensor:
        """Size and crop (B, 6) of the pictures that were encoded, as `denoiser.time_ids`."""
        return torch.from_numpy(self._rows.time_ids[items])

    def name_of(self, item: int) -> str:
        """Which grid an item is, for people: key, shard and caption; the files are read anew."""
        grids = json.loads((self._folder / GRIDS).read_text(encoding="utf-8"))
        prompts = json.loads((self._folder / PROMPTS).read_text(encoding="utf-8"))
        variant, index = divmod(item, len(grids))
        folder, shard, key = grids[index]
        version = f", augmented version {variant}" if variant else ""
        prompt = prompts[int(self._rows.prompt_of_item[item])]
        return f"{key} of {folder}/{shard} '{prompt}'{version}"


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
