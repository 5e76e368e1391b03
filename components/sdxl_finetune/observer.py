"""What is looked at between steps: held-out loss and sampled grids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import torch

from components.core.diffusion.model import TextToImage
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.heldout import HELDOUT, Heldout
from components.sdxl_finetune.samples import (
    Images,
    LeftOff,
    preview_prompts,
    sample_grids,
    to_images,
)

Log = Callable[[Mapping[str, float], int], None]
Show = Callable[[Images, int], None]


class Observer:
    """Called by every process after each step, and before the first; rank 0 reports.

    What is measured are the averaged weights, where they are averaged, for these become the result.
    To be made before the engine moves the UNet, for prompts are encoded where the model lies now.
    """

    def __init__(
        self, config: Config, model: TextToImage, work: Path, cache: Path, log: Log, show: Show
    ) -> None:
        self._config, self._model, self._log, self._show = config, model, log, show
        file = work / HELDOUT
        wanted = config.heldout_every and file.exists()
        self._heldout = Heldout(file, config, model.schedule) if wanted else None
        self._prompts = None
        if config.preview_every and config.preview_prompts:
            self._prompts = model.encode_prompts(preview_prompts(config, cache))

    def __call__(
        self,
        engine: Any,
        done: int,
        result_weights: Callable[[], AbstractContextManager[None]],
        stop: Callable[[], bool],
    ) -> None:
        """Measure what is due after `done` steps, holding `result_weights()`.

        Leaves off, between two passes of the model, once `stop()` is true, in all processes at
        once: a checkpoint is waited for then.
        """
        config = self._config
        last = done == config.iterations
        measures = self._heldout is not None and (last or done % config.heldout_every == 0)
        # After the last step the stage itself samples.
        samples = bool(
            self._prompts is not None and done and not last and done % config.preview_every == 0
        )
        if not (measures or samples):
            return
        with suppress(LeftOff), result_weights():
            if measures:
                self._measure(engine, done, stop)
            if samples:
                self._sample(engine, done, stop)

    def _measure(self, engine: Any, done: int, stop: Callable[[], bool]) -> None:
        assert self._heldout is not None
        found = self._heldout.measure(engine, self._model.image_size, stop)
        if torch.distributed.get_rank() == 0:
            self._log(found, done)

    def _sample(self, engine: Any, done: int, stop: Callable[[], bool]) -> None:
        assert self._prompts is not None
        # All processes sample the same: at ZeRO 3 none has all of the weights.
        prompts = self._prompts.to(engine.device)
        latents = sample_grids(self._model, prompts, self._config, stop)
        if torch.distributed.get_rank() == 0:
            self._model.vae.to(engine.device)
            images = to_images(self._model, latents)
            self._model.vae.to("cpu")  # training needs the memory
            self._show(images, done)
