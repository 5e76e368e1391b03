"""Rollouts: materials sampled by the current policy, with every state and log-probability kept.

A batch of rollouts stays together: the update (but `one_pass`, which has no pass of its own) puts
exactly the tensors through the UNet that sampling did, in the same shape and precision. Only then
is the importance ratio exactly 1 before the first update; a clip range of 1e-4 leaves no room for
rounding.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from components.core.diffusion.denoiser import PromptEmbeds, guided_velocity
from components.core.diffusion.model import TextToImage
from components.core.diffusion.sampler import Trajectory
from components.core.diffusion.step import Step, ddpm_step, step_coefficients
from components.ddpo_lora.one_pass import Gradients, SampleGradients
from components.ddpo_lora.path import Path, sample_path


class EncodedPrompts:
    """Every prompt of a run, encoded once; afterwards the text encoders are not needed."""

    def __init__(self, model: TextToImage, prompts: Sequence[str]) -> None:
        unique = sorted(set(prompts))
        self._row = {prompt: row for row, prompt in enumerate(unique)}
        self._embeds = model.encode_prompts(unique)

    def __getitem__(self, prompts: Sequence[str]) -> PromptEmbeds:
        return self._embeds[[self._row[prompt] for prompt in prompts]]


@dataclass(frozen=True)
class Rollout:
    """One forward batch of B trajectories; `trajectory` holds float32 states (B, S+1, C, H, W).

    columns: of each transition of full sampling that may be trained, its place in the trajectory.
    gradients: of each sample's log-probabilities, weighted by the shares of its trained transitions
    and collected in sampling (`one_pass`); else None.
    """

    prompts: tuple[str, ...]
    embeds: PromptEmbeds
    trajectory: Trajectory
    columns: Mapping[int, int]
    gradients: Gradients | None = None

    def __getitem__(self, rows: list[int]) -> "Rollout":
        """Some of its trajectories."""
        whole = self.trajectory
        return Rollout(
            tuple(self.prompts[row] for row in rows),
            self.embeds[rows],
            Trajectory(whole.latents_bschw[rows], whole.log_probs_bs[rows], whole.transitions_s),
            self.columns,
            self.gradients and {name: each[rows] for name, each in self.gradients.items()},
        )

    def finite_rows(self) -> list[int]:
        """Which trajectories are finite throughout, states and log-probabilities."""
        whole = self.trajectory
        finite_b = whole.latents_bschw.isfinite().flatten(1).all(dim=1)
        finite_b &= whole.log_probs_bs.isfinite().all(dim=1)
        return [int(row) for row in finite_b.nonzero()]

    def grids(self, model: TextToImage) -> npt.NDArray[np.float32]:
        """The materials at the trajectories' ends, decoded: (B, 2H, 2W, 3) in [0, 1]."""
        return decode_grids(model, self.trajectory.latents_bschw[:, -1])


def decode_grids(model: TextToImage, latents_bchw: Tensor) -> npt.NDArray[np.float32]:
    """Latents to grids (B, 2H, 2W, 3) in [0, 1]."""
    with torch.no_grad():
        images = model.decode(latents_bchw).clamp(0.0, 1.0)
    return images.float().cpu().numpy()


def draw_prompts(
    prompts: Sequence[str], count: int, per_prompt: int, rng: np.random.Generator
) -> list[str]:
    """`count` prompts, `per_prompt` of each drawn one in a row.

    Drawn without replacement until the list is exhausted, so that an epoch sees as many different
    prompts as it can.
    """
    groups = count // per_prompt
    rounds = -(-groups // len(prompts))
    order = np.concatenate([rng.permutation(len(prompts)) for _ in range(rounds)])[:groups]
    return [prompts[index] for index in order for _ in range(per_prompt)]


def autocast(model: TextToImage, precision: str) -> AbstractContextManager[None]:
    """What every forward pass of the policy runs in, sampled or judged: "bfloat16" or "float32".

    States, means and log-probabilities stay float32 in either (see `ddpm_step`).
    """
    enabled = precision == "bfloat16"
    return torch.autocast(model.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)


def roll_out(
    model: TextToImage,
    embeds: PromptEmbeds,
    prompts: Sequence[str],
    seeds: Sequence[int],
    path: Path,
    *,
    guidance: float,
    group: int = 1,
    precision: str = "float32",
    shares: Mapping[int, float] | None = None,
) -> Rollout:
    """Sample one forward batch; `embeds` are those of `prompts`, one seed each (`sample_path`).

    shares: of the transitions that are differentiated at once (`one_pass`), their weights.
    """
    sampled = partial(sample_path, model, embeds, seeds, path, guidance=guidance, group=group)
    with torch.no_grad(), autocast(model, precision):
        if shares is None:
            return Rollout(tuple(prompts), embeds, sampled(), path.columns)
        with SampleGradients(model.unet, len(prompts)) as own:
            learn = {index: partial(own.add, share=share) for index, share in shares.items()}
            trajectory = sampled(learn=learn)
    return Rollout(tuple(prompts), embeds, trajectory, path.columns, own.gradients)


def trainable_steps(
    model: TextToImage, steps: int, smallest_deviation: float = 0.0
) -> dict[int, float]:
    """The transitions in which the policy chooses, by index, with their standard deviations.

    The last one, to the clean image, has no noise and so no log-probability; those with less noise
    than `smallest_deviation` may be left out too.
    """
    schedule = model.schedule
    deviations = [step_coefficients(schedule, *pair)[2] for pair in schedule.transitions(steps)]
    return {i: std for i, std in enumerate(deviations) if std > 0.0 and std >= smallest_deviation}


def evaluate_transition(
    model: TextToImage,
    rollout: Rollout,
    index: int,
    *,
    guidance: float,
    precision: str = "float32",
) -> Step:
    """Judge transition `index` of a rollout by the policy as it is now (with gradient)."""
    states, column = rollout.trajectory.latents_bschw, rollout.columns[index]
    t, t_prev = rollout.trajectory.transitions_s[column]
    x_t = states[:, column].contiguous()
    with autocast(model, precision):
        velocity = guided_velocity(
            model.unet, x_t, t, rollout.embeds, model.image_size, guidance=guidance
        )
    return ddpm_step(
        model.schedule, velocity, t, t_prev, x_t, x_prev=states[:, column + 1].contiguous()
    )


def parts(total: int, size: int) -> list[slice]:
    """Slices of `size` that cover `total` items; the last one may be shorter."""
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]
