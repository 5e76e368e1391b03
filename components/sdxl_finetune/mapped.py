"""Rows of a cache whose shards lie in a folder, mapped into memory instead of read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.core.diffusion.denoiser import PromptEmbeds
from components.sdxl_finetune.cache import ITEMS_PER_SHARD
from components.sdxl_finetune.shard_file import map_arrays


class MappedRows:
    """What a process does not use it does not read."""

    def __init__(self, folder: Path, names: Sequence[str], key: str) -> None:
        """UserError if a shard is missing, truncated or of another cache."""
        shards = [map_arrays(folder / name, key) for name in names]
        self._latents = [shard for shard in shards if "latents" in shard]
        self._embeds = [shard for shard in shards if "tokens" in shard]

    @cached_property
    def prompt_of_item(self) -> NDArray[np.int64]:
        """(N,) the prompt that each item has."""
        return np.concatenate([shard["prompts"] for shard in self._latents])

    @cached_property
    def time_ids(self) -> NDArray[np.float32]:
        """(N, 6) size and crop of each item."""
        return np.concatenate([shard["time_ids"] for shard in self._latents])

    def read(
        self, items: NDArray[np.int64], prompts: NDArray[np.int64]
    ) -> tuple[Tensor, PromptEmbeds]:
        """Latents (B, C, h, w) of some items, and embeddings of some prompts."""
        tokens, pooled = (_rows(self._embeds, name, prompts) for name in ("tokens", "pooled"))
        return _rows(self._latents, "latents", items), PromptEmbeds(tokens, pooled)


def _rows(shards: list[dict[str, NDArray[Any]]], name: str, rows: NDArray[np.int64]) -> Tensor:
    places = [divmod(int(row), ITEMS_PER_SHARD) for row in rows]
    return torch.from_numpy(np.stack([shards[shard][name][row] for shard, row in places]))
