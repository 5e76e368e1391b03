"""Writes grids and captions as latents and embeddings, once before training.

Neither the VAE nor the text encoders are trained, so nothing of them runs inside the training
loop. Augmentation therefore happens before encoding: each grid has a few fixed variants. The cache
is a folder of shards; each is computed by itself, so that an interrupted run goes on with those
that are missing and several processes divide them (encode.py). `cache.json` is written last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from components.core.diffusion.denoiser import time_ids
from components.core.diffusion.model import TextToImage
from components.core.platform.progress import track
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.grids import GridSet
from components.sdxl_finetune.shard_file import Arrays, is_whole, write_arrays

INDEX = "cache.json"
PROMPTS = "prompts.json"
GRIDS = "grids.json"
ADDRESS = "address.txt"
"""In a folder without shards, where they are streamed from."""
ITEMS_PER_SHARD = 512
"""A multiple of the usual batches, so that these are the same with any division into shards."""


@dataclass(frozen=True)
class Shard:
    """Items or prompts `start` to `stop` of the cache."""

    kind: str  # "latents" or "embeds"
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Of the file."""
        return f"{self.kind}-{self.start // ITEMS_PER_SHARD:05d}.safetensors"


class Encoder:
    """Computes the shards of one cache.

    Only `encode` and the embedding of prompts use the model; the rest is bookkeeping.
    """

    def __init__(self, grids: GridSet, model: TextToImage, config: Config, key: str) -> None:
        self.grids, self.model, self.config, self.key = grids, model, config, key
        self.prompts = sorted(set(grids.prompts))
        self._number = {prompt: index for index, prompt in enumerate(self.prompts)}

    @property
    def items(self) -> int:
        """Grids times variants."""
        return len(self.grids) * self.config.variants_per_grid

    def shards(self) -> list[Shard]:
        """All shards of the cache."""
        return [*_shards("embeds", len(self.prompts)), *_shards("latents", self.items)]

    def write(self, folder: Path, shards: Sequence[Shard], *, shown: bool = True) -> None:
        """Compute the shards, each of which appears whole; show how far they are if `shown`."""
        for shard in track(shards, "encoding grids") if shown else shards:
            compute = self._embeds if shard.kind == "embeds" else self._latents
            write_arrays(folder / shard.name, compute(shard), self.key)

    def _embeds(self, shard: Shard) -> Arrays:
        parts = [self.model.encode_prompts(self.prompts[a:b]) for a, b in self._batches(shard)]
        return {
            "tokens": np.concatenate([part.tokens_bld.cpu().numpy() for part in parts]),
            "pooled": np.concatenate([part.pooled_bd.cpu().numpy() for part in parts]),
        }

    def _latents(self, shard: Shard) -> Arrays:
        encoded = [self._encode(a, b) for a, b in self._batches(shard)]
        count, rows = len(self.grids), range(shard.start, shard.stop)
        prompts = [self._number[self.grids.prompts[item % count]] for item in rows]
        return {
            "latents": np.concatenate([latents for latents, _ in encoded]),
            "prompts": np.array(prompts, np.int64),
            "time_ids": np.concatenate([ids for _, ids in encoded]),
        }

    def _encode(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Latents of some items, and size and crop (B, 6) of the pictures that were encoded."""
        variants = [self.grids.variant(item, self.config) for item in range(start, stop)]
        batch = np.stack([grid for grid, _ in variants])
        encoded: NDArray[np.float32] = (
            self.model.encode(torch.from_numpy(batch).float() / 255.0).cpu().numpy()
        )
        ids = time_ids(len(variants), self.grids.image_size).numpy()
        ids[:, 2:4] = [corner for _, corner in variants]
        return encoded, ids

    def _batches(self, shard: Shard) -> Iterator[tuple[int, int]]:
        size = self.config.encode_batch_size
        for start in range(shard.start, shard.stop, size):
            yield start, min(start + size, shard.stop)

    def missing(self, folder: Path) -> list[Shard]:
        """The shards that are not there or not complete."""
        return [shard for shard in self.shards() if not is_whole(folder / shard.name, self.key)]

    def finish(self, folder: Path) -> None:
        """Write the prompts, the grids' names, then what makes the cache count."""
        shards = [shard.name for shard in self.shards()]
        index = {"key": self.key, "items": self.items, "shards": shards}
        contents = ((PROMPTS, self.prompts), (GRIDS, self.grids.names()), (INDEX, index))
        for name, values in contents:
            write_whole(folder / name, json.dumps(values))


def write_whole(file: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def prepare(folder: Path, key: str) -> bool:
    """Make the folder for a cache of this key; True if it is there already, complete.

    What another model or other data left there is removed.
    """
    note = folder / "key.txt"
    if folder.exists() and (not note.exists() or note.read_text() != key):
        shutil.rmtree(folder)
    if not folder.exists():
        new = folder.with_name(f".{folder.name}.{os.getpid()}")
        new.mkdir(parents=True)
        (new / note.name).write_text(key)
        try:
            new.rename(folder)
        except OSError:  # another run has made it meanwhile
            shutil.rmtree(new)
    return (folder / INDEX).exists()


def _shards(kind: str, count: int) -> list[Shard]:
    starts = range(0, count, ITEMS_PER_SHARD)
    return [Shard(kind, start, min(start + ITEMS_PER_SHARD, count)) for start in starts]
