"""Rows of a cache whose shards stay in an object store: each is a request of exactly its bytes.

For machines whose disk the cache does not fit on. What is small is read once: where the arrays lie
in their shards, sizes and crops, each item's prompt. Latents are read when a step needs them, by
the process that needs them, and never kept, for their next turn is an epoch later; embeddings of
the prompts used last are. The next step's are read while a step computes (`batch.Ahead`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.core.diffusion.denoiser import PromptEmbeds
from components.core.errors import UserError
from components.core.platform.storage import Entry, listing, open_parts
from components.sdxl_finetune.cache import INDEX, ITEMS_PER_SHARD
from components.sdxl_finetune.shard_file import Place, places

THREADS = 16
"""Requests at once: a row takes a store tens of milliseconds, however small it is."""
KEPT_BYTES = 2**30
"""Of embeddings in memory, in each process: those of 1,600 prompts of SDXL."""


class Shard(NamedTuple):
    """An object of the cache, and where its arrays lie."""

    entry: Entry
    places: dict[str, Place]


class StreamedRows:
    """Gives what `MappedRows` gives, bit by bit.

    uri: of the cache's folder; names: of its shards; kept_bytes: of embeddings in memory.
    """

    def __init__(
        self, uri: str, names: Sequence[str], key: str, kept_bytes: int = KEPT_BYTES
    ) -> None:
        """UserError if a shard is missing, truncated or of another cache, or the store is away."""
        self._uri, self._key, self._most = uri, key, kept_bytes
        self._source = open_parts(uri, THREADS)
        self._threads = ThreadPoolExecutor(THREADS, "cached rows")
        self._entries = {entry.name: entry for entry in listing(uri)}
        shards = list(self._threads.map(self._open, names))
        self._latents = [shard for shard in shards if "latents" in shard.places]
        self._embeds = [shard for shard in shards if "tokens" in shard.places]
        self.prompt_of_item = self._whole("prompts")
        self.time_ids = self._whole("time_ids")
        self._kept: OrderedDict[int, tuple[NDArray[Any], NDArray[Any]]] = OrderedDict()
        self._kept_bytes = 0

    def read(
        self, items: NDArray[np.int64], prompts: NDArray[np.int64]
    ) -> tuple[Tensor, PromptEmbeds]:
        """Latents (B, C, h, w) of some items, and embeddings of some prompts."""
        wanted = dict.fromkeys(prompts.tolist())
        new = [prompt for prompt in wanted if prompt not in self._kept]
        rows = [(self._embeds, name, row) for row in new for name in ("tokens", "pooled")]
        rows += [(self._latents, "latents", row) for row in items.tolist()]
        found = list(self._threads.map(self._row, *zip(*rows, strict=True)))
        first = 2 * len(new)
        for prompt, *embeds in zip(new, found[:first:2], found[1:first:2], strict=True):
            self._kept[prompt] = embeds[0], embeds[1]
            self._kept_bytes += sum(part.nbytes for part in embeds)
        for prompt in wanted:
            self._kept.move_to_end(prompt)
        tokens, pooled = zip(*(self._kept[prompt] for prompt in prompts.tolist()), strict=True)
        self._forget()
        return _stacked(found[first:]), PromptEmbeds(_stacked(tokens), _stacked(pooled))

    def _forget(self) -> None:
        """Let the embeddings go that were not used for longest."""
        while self._kept_bytes > self._most:
            _, embeds = self._kept.popitem(last=False)
            self._kept_bytes -= sum(part.nbytes for part in embeds)

    def _open(self, name: str) -> Shard:
        address = f"{self._uri}/{name}"
        mend = f"remove {self._uri}/{INDEX} and start again, which makes the cache anew"
        if name not in self._entries:
            raise UserError(f"{address} is missing: {mend}")
        entry = self._entries[name]

        def read(start: int, stop: int) -> bytes:
            return self._source.read(name, start, stop, entry.mark)

        return Shard(entry, places(address, entry.size, read, self._key, mend))

    def _whole(self, name: str) -> NDArray[Any]:
        """An array of all shards of latents, one part after the other."""

        def part(shard: Shard) -> NDArray[Any]:
            return self._rows(shard, name, 0, shard.places[name].shape[0])

        return np.concatenate(list(self._threads.map(part, self._latents)))

    def _row(self, shards: Sequence[Shard], name: str, row: int) -> NDArray[Any]:
        shard, place = divmod(row, ITEMS_PER_SHARD)
        return self._rows(shards[shard], name, place, 1)[0]

    def _rows(self, shard: Shard, name: str, first: int, count: int) -> NDArray[Any]:
        place = shard.places[name]
        content = self._source.read(shard.entry.name, *place.rows(first, count), shard.entry.mark)
        return np.frombuffer(content, place.dtype).reshape(count, *place.shape[1:])


def _stacked(rows: Sequence[NDArray[Any]]) -> Tensor:
    return torch.from_numpy(np.stack(rows))
