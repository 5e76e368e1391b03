"""DDPO: sample, score, compare with the prompt's usual reward, push up what did better.

Section 4.3 of the paper. An epoch samples materials with the current policy (rollout.py), scores
them with a reward that needs no gradient, turns rewards into advantages (advantage.py) and takes
optimizer steps on the clipped objective (loss.py) over the transitions of those very samples. Only
the LoRA matrices learn. All randomness of epoch e follows from the seed and e, which is what makes
a resumed run equal to an undisturbed one.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from components.core.diffusion.denoiser import PromptEmbeds
from components.core.diffusion.lora import lora_disabled
from components.core.diffusion.model import TextToImage
from components.core.diffusion.sampler import sample
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.core.realism.reward import GOLD, REWARD, RewardFunction
from components.ddpo_lora.advantage import PromptStatistics
from components.ddpo_lora.checkpoint import Progress, load_checkpoint, save_checkpoint
from components.ddpo_lora.config import Config
from components.ddpo_lora.history import Row
from components.ddpo_lora.loss import kl_to_reference, policy_loss
from components.ddpo_lora.rollout import (
    Rollout,
    decode_grids,
    draw_prompts,
    evaluate_transition,
    roll_out,
    trainable_steps,
)

FloatArray = npt.NDArray[np.floating]


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
        self._parameters = {
            name: parameter
            for name, parameter in model.unet.named_parameters()
            if parameter.requires_grad
        }
        self._optimizer = torch.optim.AdamW(
            self._parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._statistics = PromptStatistics(config.statistics_buffer, config.statistics_min_count)
        self._embeds = self._encode([*self._train_prompts, *self._heldout_prompts])
        self.optimizer_steps = 0

    def run(self) -> list[Row]:
        """Train from the newest checkpoint, or from the start; return one history row an epoch.

        Row e holds what was measured with the policy that epoch e began with. A last row, numbered
        `epochs`, holds the held-out measurement of the final policy only.
        """
        progress = load_checkpoint(self._work, self._parameters, self._optimizer)
        if progress is None:
            progress = Progress(epoch=0, history=[], statistics={})
        self._statistics.restore(progress.statistics)
        while progress.epoch < self._config.epochs:
            progress.history.append(self._epoch(progress.epoch))
            progress.epoch += 1
            progress.statistics = self._statistics.state()
            save_checkpoint(self._work, self._parameters, self._optimizer, progress)
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
            scores = self._reward(grids, rng, self._config.lights_per_sample)
        row |= {
            "train_reward": float(scores[REWARD].mean()),
            "train_reward_std": float(scores[REWARD].std()),
        }
        if GOLD in scores:
            row["gold_reward"] = float(scores[GOLD].mean())
        with clock.phase("update"):
            row |= self.update(rollouts, scores[REWARD], rng)
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
                self._rows(prompts[part]),
                prompts[part],
                seeds[part],
                steps=config.steps,
                guidance=config.guidance,
            )
            for part in _parts(len(prompts), config.forward_batch)
        ]

    def update(
        self, rollouts: Sequence[Rollout], rewards: FloatArray, rng: np.random.Generator
    ) -> Row:
        """Optimizer steps on an epoch's samples; returns means of what the steps reported."""
        config = self._config
        prompts = [prompt for rollout in rollouts for prompt in rollout.prompts]
        advantages = self._statistics.advantages(prompts, rewards)
        advantages = advantages.clip(-config.advantage_clip, config.advantage_clip)
        per_step = config.batch_size * config.accumulation // config.forward_batch
        reports: list[Row] = []
        for _ in range(config.inner_epochs):
            order = rng.permutation(len(rollouts))
            for part in _parts(len(rollouts), per_step):
                chosen = [int(index) for index in order[part]]
                reports.append(self._optimizer_step(rollouts, advantages, chosen, rng))
        return {key: float(np.mean([report[key] for report in reports])) for key in reports[0]}

    def _optimizer_step(
        self,
        rollouts: Sequence[Rollout],
        advantages: FloatArray,
        chosen: Sequence[int],
        rng: np.random.Generator,
    ) -> Row:
        """One step on the forward batches `chosen`; the gradient is the mean over them."""
        config = self._config
        self._optimizer.zero_grad(set_to_none=True)
        kls, clipped = [], []
        for index in chosen:
            size = len(rollouts[index].prompts)
            weights = torch.from_numpy(advantages[index * size : (index + 1) * size])
            for transition in self._draw_transitions(rng):
                kl, share = self._accumulate(
                    rollouts[index], weights, transition, 1.0 / len(chosen)
                )
                kls.append(kl)
                clipped.append(share)
        norm = torch.nn.utils.clip_grad_norm_(
            self._parameters.values(), config.max_gradient_norm, error_if_nonfinite=True
        )
        self._optimizer.step()
        self.optimizer_steps += 1
        return {
            "approx_kl": float(np.mean(kls)),
            "clip_fraction": float(np.mean(clipped)),
            "gradient_norm": float(norm),
        }

    def _accumulate(
        self, rollout: Rollout, weights_b: torch.Tensor, transition: int, share: float
    ) -> tuple[float, float]:
        """Add the gradient of one transition of one forward batch; (approximate KL, clipped)."""
        config, device = self._config, rollout.trajectory.latents_bschw.device
        step = evaluate_transition(self._model, rollout, transition, guidance=config.guidance)
        old_b = rollout.trajectory.log_probs_bs[:, transition]
        result = policy_loss(step.log_prob, old_b, weights_b.to(device), config.clip_range)
        loss = result.loss
        if config.kl_coefficient > 0.0:
            with torch.no_grad(), lora_disabled(self._model.unet):
                reference = evaluate_transition(
                    self._model, rollout, transition, guidance=config.guidance
                )
            loss = loss + config.kl_coefficient * kl_to_reference(
                step.mean, reference.mean, step.std
            )
        # The mean over the trained transitions, so that the gradient's size, and with it what
        # max_gradient_norm means, does not depend on how many are trained.
        (loss * share / self._trained_transitions).backward()
        return result.approx_kl, result.clip_fraction

    @property
    def _trained_transitions(self) -> int:
        candidates = trainable_steps(self._model, self._config.steps)
        return max(1, round(len(candidates) * self._config.train_timestep_fraction))

    def _draw_transitions(self, rng: np.random.Generator) -> list[int]:
        candidates = trainable_steps(self._model, self._config.steps)
        drawn = rng.permutation(candidates)[: self._trained_transitions]
        return [int(index) for index in drawn]

    def _measure_heldout(self, clock: Clock) -> Row:
        """Mean scores on the held-out prompts, always with the same seeds and light."""
        config = self._config
        if not config.heldout_samples or not self._heldout_prompts:
            return {}
        rng = np.random.default_rng(derive_seed(config.seed, "heldout"))
        prompts = draw_prompts(self._heldout_prompts, config.heldout_samples, 1, rng)
        seeds = [int(seed) for seed in rng.integers(2**62, size=len(prompts))]
        with clock.phase("heldout"):
            grids = [
                decode_grids(
                    self._model,
                    sample(
                        self._model,
                        self._rows(prompts[part]),
                        seeds[part],
                        steps=config.steps,
                        guidance=config.guidance,
                    ),
                )
                for part in _parts(len(prompts), config.forward_batch)
            ]
            scores = self._reward(np.concatenate(grids), rng, config.lights_per_sample)
        names = {REWARD: "heldout_reward", GOLD: "heldout_gold_reward"}
        return {names[name]: float(values.mean()) for name, values in scores.items()}

    def _encode(self, prompts: Sequence[str]) -> Mapping[str, int]:
        """Encode every prompt once; afterwards the text encoders are not needed."""
        unique = sorted(set(prompts))
        with torch.no_grad():
            self._encoded: PromptEmbeds = self._model.encode_prompts(unique)
        return {prompt: row for row, prompt in enumerate(unique)}

    def _rows(self, prompts: Sequence[str]) -> PromptEmbeds:
        return self._encoded[[self._embeds[prompt] for prompt in prompts]]

    def _log(self, row: Row) -> None:
        metrics = {key: value for key, value in row.items() if isinstance(value, float)}
        self._tracker.log_metrics(metrics, step=int(row["epoch"]))


def _parts(total: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]
