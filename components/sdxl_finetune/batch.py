"""What an optimizer step trains on, prepared while the step before it computes.

All of it is a function of the seed and the step's number, drawn for the whole batch by every
process, so that neither their number nor the micro-batch changes it. For the paper's batch that is
8 million normal numbers and 100 MB of the cache: a thread of its own does it in time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.core.diffusion.denoiser import PromptEmbeds
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import TrainingData, batch_items
from components.sdxl_finetune.draw import Draw

Made = TypeVar("Made")


@dataclass(frozen=True)
class Part:
    """A micro-batch of this process."""

    rows: slice  # of the batch
    latents_bchw: Tensor
    embeds: PromptEmbeds
    time_ids_b6: Tensor
    noise_bchw: Tensor
    t_b: Tensor
    drop_b: Tensor

    def to(self, device: torch.device | str) -> Part:
        """On the device; a GPU copies out of locked memory while this process goes on."""
        return self._each(lambda values: values.to(device, non_blocking=True))

    def locked(self) -> Part:
        """In memory that a GPU copies from by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Part:
        embeds = PromptEmbeds(change(self.embeds.tokens_bld), change(self.embeds.pooled_bd))
        latents, ids, noise, t, drop = (
            change(values)
            for values in (
                self.latents_bchw, self.time_ids_b6, self.noise_bchw, self.t_b, self.drop_b
            )
        )  # fmt: skip
        return Part(self.rows, latents, embeds, ids, noise, t, drop)


@dataclass(frozen=True)
class Batch:
    """Of one step: the whole batch's items and timesteps, and this process's part of it."""

    items_b: NDArray[np.int64]
    t_b: Tensor
    parts: list[Part]


def own_rows(config: Config, rank: int) -> list[slice]:
    """The micro-batches of a process within the batch."""
    size, count = config.micro_batch_size, config.accumulation
    first = rank * count * size
    return [slice(first + i * size, first + (i + 1) * size) for i in range(count)]


class Batches:
    """Makes the batches of one process by step.

    rank: of the process; latent_shape: (C, h, w); train_steps: timesteps of the schedule; locked:
    whether a GPU is to copy from them.
    """

    def __init__(
        self,
        config: Config,
        data: TrainingData,
        rank: int,
        *,
        latent_shape: tuple[int, ...],
        train_steps: int,
        locked: bool = False,
    ) -> None:
        self._config, self._data = config, data
        self._shape, self._train_steps = (config.batch_size, *latent_shape), train_steps
        self._rows, self._locked = own_rows(config, rank), locked

    def __call__(self, step: int) -> Batch:
        """The batch of step number `step`, from 0, in the machine's memory."""
        config = self._config
        items = batch_items(config.seed, step, config.batch_size, len(self._data))
        chances = config.caption_dropout, config.timestep_shift
        draw = Draw.of_step(config.seed, step, self._shape, self._train_steps, *chances)
        return Batch(items, draw.t_b, self._parts(items, draw))

    def _parts(self, items: NDArray[np.int64], draw: Draw) -> list[Part]:
        """Its items are asked for all at once, so that a store answers them side by side."""
        first, parts = self._rows[0].start, []
        latents, embeds, ids = self._data.batch(items[first : self._rows[-1].stop])
        for rows in self._rows:
            own = slice(rows.start - first, rows.stop - first)
            part = Part(
                rows, latents[own], embeds[own], ids[own],
                draw.noise_bchw[rows], draw.t_b[rows], draw.drop_b[rows],
            )  # fmt: skip
            parts.append(part.locked() if self._locked else part)
        return parts


class Ahead(Generic[Made]):
    """Makes what the next step needs in a thread, once it was asked for that of a step.

    make: gives the same for the same step whenever it is called. steps: how many there are.
    device: of a GPU, the one that the thread is to belong to, too.
    """

    def __init__(self, make: Callable[[int], Made], steps: int, device: torch.device) -> None:
        self._make, self._steps = make, steps
        enter = (lambda: torch.cuda.set_device(device)) if device.type == "cuda" else None
        self._thread = ThreadPoolExecutor(1, "next batch", initializer=enter)
        self._next: tuple[int, Future[Made]] | None = None

    def of(self, step: int) -> Made:
        """What step number `step` needs; what went wrong in making it is raised here."""
        if self._next is not None and self._next[0] == step:
            made = self._next[1].result()
        else:
            made = self._make(step)
        following = step + 1
        if following < self._steps:
            self._next = following, self._thread.submit(self._make, following)
        return made
