"""DDPO: sample, score, compare with the prompt's usual reward, push up what did better.

Section 4.3 of the paper. An epoch samples materials with the current policy (rollout.py), scores
them with a reward that needs no gradient, turns rewards into advantages (advantage.py) and takes
optimizer steps on the transitions of those very samples (update.py). All randomness of epoch e
follows from the seed and e, which is what makes a resumed run equal to an undisturbed one.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.core.diffusion.model import TextToImage
from components.core.diffusion.sampler import sample
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.core.realism.reward import GOLD, REWARD, RewardFunction
from components.ddpo_lora.advantage import PromptStatistics
from components.ddpo_lora.checkpoint import Progress, load_checkpoint, save_checkpoint
from components.ddpo_lora.config import Config
from components.ddpo_lora.history import Row
from components.ddpo_lora.rollout import (
    EncodedPrompts,
    Rollout,
    autocast,
    decode_grids,
    draw_prompts,
    parts,
    roll_out,
)
from components.ddpo_lora.update import Update


@dataclass
class Clock:
    """Seconds spent in each phase of an epoch."""

    seconds: dict[str, float]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the duration of the block to the phase `name`."""
        started = time.perf_counter()
        yield
        spent = time.perf_counter() - started
        self.seconds[name] = self.seconds.get(name, 0.0) + spent


class Trainer:
    """Improves the adapter of `model.unet` on `train_prompts`; see `run`.

    Args:
        model: the generator, its UNet carrying a LoRA adapter that alone requires gradients.
        reward: scores grids; called with nothing but arrays, so anything can stand in for it.
        train_prompts: the prompts that are sampled and learnt from.
        heldout_prompts: prompts that are only ever measured.
        work: folder for checkpoints, which outlives a kill.
    """

    def __init__(
        self,
        model: TextToImage,
        reward: RewardFunction,
        train_prompts: Sequence[str],
        heldout_prompts: Sequence[str],
        config: Config,
        work: Path,
        tracker: Tracker,
    ) -> None:
        self._model = model
        self._reward = reward
        self._train_prompts = list(train_prompts)
        self._heldout_prompts = list(heldout_prompts)
        self._config = config
        self._work = work
        self._tracker = tracker
        self._statistics = PromptStatistics(config.statistics_buffer, config.statistics_min_count)
        self._embeds = EncodedPrompts(model, [*train_prompts, *heldout_prompts])
        self.update = Update(model, config)

    def run(self) -> list[Row]:
        """Train from the newest checkpoint, or from the start; return one history row an epoch.

        Row e holds what was measured with the policy that epoch e began with. A last row, numbered
        `epochs`, holds the held-out measurement of the final policy only.
        """
        progress = load_checkpoint(self._work, self.update.parameters, self.update.optimizer)
        if progress is None:
            progress = Progress(epoch=0, history=[], statistics={})
        self._statistics.restore(progress.statistics)
        while progress.epoch < self._config.epochs:
            progress.history.append(self._epoch(progress.epoch))
            progress.epoch += 1
            progress.statistics = self._statistics.state()
            save_checkpoint(self._work, self.update.parameters, self.update.optimizer, progress)
        clock = Clock({})
        final: Row = {"epoch": self._config.epochs, **self._measure_heldout(clock)}
        self._log(final)
        return [*progress.history, final | {"seconds": clock.seconds}]

    def _epoch(self, epoch: int) -> Row:
        clock = Clock({})
        row: Row = {"epoch": epoch}
        if epoch % self._config.heldout_every == 0:
            row |= self._measure_heldout(clock)
        rng = np.random.default_rng(derive_seed(self._config.seed, "epoch", str(epoch)))
        with clock.phase("sampling"):
            rollouts = self.roll_out(rng)
        with clock.phase("decoding"):
            grids = np.concatenate([rollout.grids(self._model) for rollout in rollouts])
        with clock.phase("scoring"):
            sharing = self._config.samples_per_prompt if self._config.shared_light else 1
            scores = self._reward(grids, rng, self._config.lights_per_sample, sharing)
        row |= {
            "train_reward": float(scores[REWARD].mean()),
            "train_reward_std": float(scores[REWARD].std()),
        }
        if GOLD in scores:
            row["gold_reward"] = float(scores[GOLD].mean())
        prompts = [prompt for rollout in rollouts for prompt in rollout.prompts]
        with clock.phase("update"):
            advantages = self._statistics.advantages(prompts, scores[REWARD])
            row |= self.update(rollouts, advantages, rng)
        self._log(row)
        return row | {"seconds": clock.seconds}

    def roll_out(self, rng: np.random.Generator) -> list[Rollout]:
        """An epoch's samples, in forward batches of constant size."""
        config = self._config
        prompts = draw_prompts(
            self._train_prompts, config.samples_per_epoch, config.samples_per_prompt, rng
        )
        seeds = [int(seed) for seed in rng.integers(2**62, size=len(prompts))]
        return [
            roll_out(
                self._model,
                self._embeds[prompts[part]],
                prompts[part],
                seeds[part],
                steps=config.steps,
                guidance=config.guidance,
                precision=config.precision,
            )
            for part in parts(len(prompts), config.forward_batch)
        ]

    def _measure_heldout(self, clock: Clock) -> Row:
        """Mean scores on the held-out prompts, always with the same seeds and light."""
        config = self._config
        if not config.heldout_samples or not self._heldout_prompts:
            return {}
        rng = np.random.default_rng(derive_seed(config.seed, "heldout"))
        with clock.phase("heldout"):
            scores = self._reward(self.heldout_grids(rng), rng, config.lights_per_sample)
        names = {REWARD: "heldout_reward", GOLD: "heldout_gold_reward"}
        return {names[name]: float(values.mean()) for name, values in scores.items()}

    def heldout_grids(self, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """Samples (N, 2H, 2W, 3) of held-out prompts which, like their seeds, follow from `rng`."""
        config = self._config
        prompts = draw_prompts(self._heldout_prompts, config.heldout_samples, 1, rng)
        seeds = [int(seed) for seed in rng.integers(2**62, size=len(prompts))]
        grids = []
        for part in parts(len(prompts), config.forward_batch):
            with autocast(self._model, config.precision):
                latents = sample(
                    self._model,
                    self._embeds[prompts[part]],
                    seeds[part],
                    steps=config.steps,
                    guidance=config.guidance,
                )
            grids.append(decode_grids(self._model, latents))
        return np.concatenate(grids)

    def _log(self, row: Row) -> None:
        metrics = {key: value for key, value in row.items() if isinstance(value, float)}
        self._tracker.log_metrics(metrics, step=int(row["epoch"]))
