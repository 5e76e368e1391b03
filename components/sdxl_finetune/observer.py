"""What is looked at between steps: held-out loss and sampled grids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from components.core.diffusion.model import TextToImage
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.heldout import HELDOUT, Heldout
from components.sdxl_finetune.samples import Images, preview_prompts, sample_grids, to_images

Log = Callable[[Mapping[str, float], int], None]
Show = Callable[[Images, int], None]


class Observer:
    """Called by every process after each step, and before the first; rank 0 reports.

    The weights are those being trained, not their average. To be made before the engine moves the
    UNet, for prompts are encoded where the model lies now.
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

    def __call__(self, engine: Any, done: int) -> None:
        """Measure what is due after `done` steps."""
        config, leads = self._config, torch.distributed.get_rank() == 0
        last = done == config.iterations
        if self._heldout is not None and (last or done % config.heldout_every == 0):
            found = self._heldout.measure(engine, self._model.image_size)
            if leads:
                self._log(found, done)
        # After the last step the stage itself samples, from the weights that are kept.
        if self._prompts is not None and done and not last and done % config.preview_every == 0:
            # All processes sample the same: at ZeRO 3 none has all of the weights.
            latents = sample_grids(self._model, self._prompts.to(engine.device), config)
            if leads:
                self._model.vae.to(engine.device)
                self._show(to_images(self._model, latents), done)
