"""The generator with its adapter, as the trainer asks it for samples."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from components.core.diffusion.denoiser import PromptEmbeds
from components.core.diffusion.model import TextToImage
from components.core.diffusion.sampler import sample
from components.ddpo_lora.config import Config
from components.ddpo_lora.path import full_path, window_path
from components.ddpo_lora.rollout import (
    EncodedPrompts,
    Rollout,
    autocast,
    decode_grids,
    roll_out,
    trainable_steps,
)


class Policy:
    """Samples forward batches of any of `prompts`, which are encoded once."""

    def __init__(self, model: TextToImage, prompts: Sequence[str], config: Config) -> None:
        self.model = model
        self._config = config
        self._embeds = EncodedPrompts(model, prompts)
        self.deviations = trainable_steps(model, config.steps, config.smallest_deviation)

    def embeds(self, prompts: Sequence[str]) -> PromptEmbeds:
        """What the text encoders made of each."""
        return self._embeds[prompts]

    def roll_out(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        trained: Mapping[int, float] | None = None,
    ) -> Rollout:
        """One forward batch with all of its states, to learn from; `trained`: which transitions
        will be, and their shares, if not any of them may."""
        config = self._config
        transitions = self.model.schedule.transitions(config.steps)
        path, group = full_path(transitions), 1
        if trained and config.mixed:
            path = window_path(transitions, trained, config.window_stride)
            group = config.samples_per_prompt if config.branch else 1
        return roll_out(
            self.model,
            self.embeds(prompts),
            prompts,
            seeds,
            path,
            guidance=config.guidance,
            group=group,
            precision=config.precision,
            shares=trained if config.one_pass else None,
        )

    def sample(self, prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        """Clean latents (B, C, h, w) of one forward batch, to look at."""
        config = self._config
        with autocast(self.model, config.precision):
            return sample(
                self.model,
                self.embeds(prompts),
                seeds,
                steps=config.steps,
                guidance=config.guidance,
            )

    def decode(self, latents_bchw: Tensor) -> npt.NDArray[np.float32]:
        """Latents to grids (B, 2H, 2W, 3) in [0, 1]."""
        return decode_grids(self.model, latents_bchw)
