"""Direct reward back-propagation, the baseline that DDPO is compared with.

DRaFT-K (Clark et al. 2024, "Directly Fine-Tuning Diffusion Models on Differentiable Rewards") and
AlignProp (Prabhudesai et al. 2023): the reward itself is differentiated, through CLIP, a shading,
the decoder and the last K denoising steps. It needs a reward that has a gradient, where DDPO needs
none: materials are shaded instead of rendered (shading.py). Held-out samples are rendered and
measured as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from components.core.diffusion.denoiser import guided_velocity
from components.core.diffusion.model import TextToImage
from components.core.diffusion.step import ddpm_step
from components.core.realism.reward import RealismReward
from components.ddpo_lora.clock import Clock
from components.ddpo_lora.config import Config
from components.ddpo_lora.interruption import Pause, no_pause
from components.ddpo_lora.parallel import Group
from components.ddpo_lora.plan import Task, owners
from components.ddpo_lora.policy import Policy
from components.ddpo_lora.rollout import Rollout, autocast, parts
from components.ddpo_lora.shading import shade
from components.ddpo_lora.update import Update

Differentiable = Callable[[Tensor, Sequence[int]], Tensor]
"""Grids (B, 2H, 2W, 3) with gradient, and their numbers in the epoch, to rewards (B,)."""


Begin = Callable[[int, np.random.Generator], Differentiable]
"""Called at the start of an epoch with the number of its samples, for whatever is drawn then."""


def shaded(reward: RealismReward, config: Config) -> Begin:
    """The realism reward of materials that are shaded instead of rendered."""
    each, sharing = (
        config.lights_per_sample,
        config.samples_per_prompt if config.shared_light else 1,
    )

    def begin(count: int, rng: np.random.Generator) -> Differentiable:
        lights = reward.draw(count, rng, each, sharing)

        def score(grids_bhwc: Tensor, numbers: Sequence[int]) -> Tensor:
            own = [lights[number * each + light] for number in numbers for light in range(each)]
            repeated = grids_bhwc.repeat_interleave(each, dim=0)
            images = shade(repeated, reward.environments, own, config.rendering.displacement)
            return reward.score_with_gradient(images).view(-1, each).mean(dim=1)

        return score

    return begin


class Direct:
    """An epoch of direct back-propagation, by the optimizer steps of `update`."""

    def __init__(
        self, policy: Policy, update: Update, config: Config, group: Group, pause: Pause = no_pause
    ) -> None:
        self._policy, self._update, self._config = policy, update, config
        self._group, self._pause = group, pause

    def __call__(
        self,
        reward: Differentiable,
        prompts: Sequence[str],
        seeds: Sequence[int],
        plan: Sequence[Sequence[Task]],
        clock: Clock,
    ) -> tuple[npt.NDArray[np.float64], dict[str, float]]:
        """The rewards (N,) of the epoch's samples, each by the policy that made it, and metrics.

        A reward that is not finite is NaN: its sample was dropped.
        """
        batches = parts(len(prompts), self._config.forward_batch)
        owner = owners([list(tasks) for tasks in plan], len(batches), self._group.size)
        rewards, reports = np.zeros(len(prompts)), []
        for tasks in plan:
            self._update.begin()
            for task in tasks:
                if owner[task.batch] == self._group.rank:
                    part = batches[task.batch]
                    share = 1.0 / len(tasks)
                    rewards[part] = self._add(reward, prompts, seeds, part, share, clock)
            self._pause()
            with clock.phase("update"):
                reports.append(self._update.descend())
        means = {key: float(np.mean([report[key] for report in reports])) for key in reports[0]}
        return self._group.sum(rewards), means

    def _add(
        self,
        reward: Differentiable,
        prompts: Sequence[str],
        seeds: Sequence[int],
        part: slice,
        share: float,
        clock: Clock,
    ) -> npt.NDArray[np.float64]:
        """Add a forward batch's share of the gradient; its rewards (B,).

        A sample without a finite reward is left out, and the others passed through again: in one
        backward pass its NaN would reach the adapter whatever its weight.
        """
        with clock.phase("sample"):
            rollout = self._policy.roll_out(prompts[part], seeds[part])
        numbers = np.arange(len(prompts))[part]
        with clock.phase("update"):
            rewards_b = self._judge(reward, rollout, numbers)
            values = rewards_b.detach().double().cpu().numpy()
            known = np.flatnonzero(np.isfinite(values))
            if len(known) < len(values):
                values[~np.isfinite(values)] = np.nan
                if not len(known):
                    return values
                del rewards_b  # and its graph, before the next one is made
                rewards_b = self._judge(reward, rollout[known.tolist()], numbers[known])
            (-rewards_b.sum() / len(values) * share).backward()
        return values

    def _judge(
        self, reward: Differentiable, rollout: Rollout, numbers: npt.NDArray[np.int64]
    ) -> Tensor:
        """Rewards (B,) of a rollout whose samples have these numbers in the epoch."""
        latents = last_steps(self._policy.model, rollout, self._config)
        grids = self._policy.model.decode_with_gradient(latents)
        return reward(grids, numbers.tolist())


def last_steps(model: TextToImage, rollout: Rollout, config: Config) -> Tensor:
    """The clean latents (B, C, h, w) of a rollout, as a function of its last `direct_steps` steps.

    Each step's noise stays what it was (the reparametrisation trick): the next state moves as the
    step's mean does. The values are those of the rollout.
    """
    states = rollout.trajectory.latents_bschw
    transitions = rollout.trajectory.transitions_s
    first = len(transitions) - config.direct_steps
    x_t = states[:, first].contiguous()
    for index in range(first, len(transitions)):
        t, t_prev = transitions[index]
        following = states[:, index + 1].contiguous()
        with autocast(model, config.precision):
            velocity = guided_velocity(
                model.unet, x_t, t, rollout.embeds, model.image_size, guidance=config.guidance
            )
        mean = ddpm_step(model.schedule, velocity, t, t_prev, x_t, x_prev=following).mean
        x_t = mean + (following - mean.detach())
    return x_t
