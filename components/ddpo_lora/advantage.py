"""Advantages: how much better a sample was than what its own prompt usually earns.

Materials of some prompts score higher than those of others whatever the policy does. Comparing a
sample with its own prompt's recent rewards removes that difference from the gradient (Black et
al. 2023, "Training Diffusion Models with Reinforcement Learning", section 5.3; paper section 3.2).
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

Scale = Literal["own", "batch"]
"""What centred rewards are divided by: the deviation of what each is compared with (DDPO, GRPO), or
one number, the root mean square of all that come together. The first counts prompts whose samples
hardly differ as much as those whose samples differ a lot; Liu et al. 2025, "Understanding
R1-Zero-Like Training" (Dr. GRPO), therefore leave the division out. A single number, as in
REINFORCE++ (Hu et al. 2025), does so too and keeps the size that `advantage_clip` is meant for."""

#: Added to every deviation, so that rewards which hardly differ are not blown up.
SMALLEST_DEVIATION = 1e-6
#: Rewards are computed in float32; groups within so many of its roundings are groups of equals.
ROUNDINGS = 4


class PromptStatistics:
    """The last `buffer` rewards of every prompt, and the advantages that follow from them.

    A sample's own group, the samples of its prompt that come together, is always part of what it
    is compared with, also where the group is larger than the buffer. A prompt with fewer than
    `min_count` known rewards is compared with the batch it came in: the mean and deviation of a
    handful of numbers say little about the prompt.
    """

    def __init__(self, buffer: int, min_count: int, scale: Scale = "own") -> None:
        if not 1 <= min_count <= buffer:
            raise ValueError(f"min_count must be in 1..{buffer} (the buffer size), got {min_count}")
        self._buffer = buffer
        self._min_count = min_count
        self._scale: Scale = scale
        self._rewards: dict[str, deque[float]] = {}

    def advantages(
        self,
        prompts: Sequence[str],
        rewards: npt.ArrayLike,
        draws: Sequence[int] | None = None,
    ) -> FloatArray:
        """Remember `rewards` (N,), one per prompt, and return the N advantages as float64.

        Integer rewards are accepted: they are converted before anything is subtracted.

        draws: a number per sample; samples of one prompt with different ones are groups of their
        own, remembered one after the other. None: all of a prompt's samples are one group.
        """
        values = np.asarray(rewards, dtype=np.float64)
        if values.shape != (len(prompts),):
            raise ValueError(f"{len(prompts)} prompts but rewards of shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError("a reward is not finite")
        centred, deviations = np.zeros_like(values), np.ones_like(values)
        for prompt, own in _groups(prompts, draws):
            remembered = self._rewards.setdefault(prompt, deque(maxlen=self._buffer))
            known = np.concatenate([np.asarray(remembered, dtype=np.float64), values[own]])
            basis = known[-max(self._buffer, len(own)) :]
            if basis.size < self._min_count:
                basis = values
            if not all_equal(basis):
                centred[own] = values[own] - basis.mean()
                deviations[own] = basis.std() + SMALLEST_DEVIATION
            remembered.extend(values[own].tolist())
        return _scaled(centred, deviations, self._scale)

    def count(self, prompt: str) -> int:
        """How many rewards are remembered for `prompt`."""
        return len(self._rewards.get(prompt, ()))

    def state(self) -> dict[str, list[float]]:
        """What a checkpoint needs to store: the remembered rewards, oldest first."""
        return {prompt: list(rewards) for prompt, rewards in self._rewards.items()}

    def restore(self, state: Mapping[str, Sequence[float]]) -> None:
        """Replace everything remembered by a `state()` of before."""
        self._rewards = {
            prompt: deque(rewards, maxlen=self._buffer) for prompt, rewards in state.items()
        }


def group_advantages(
    prompts: Sequence[str],
    rewards: npt.ArrayLike,
    draws: Sequence[int] | None = None,
    scale: Scale = "own",
) -> FloatArray:
    """Advantages (N,) of rewards (N,) within the samples of the same prompt (Shao et al. 2024).

    Nothing is remembered: each epoch's group is its own baseline. A prompt with one sample, or
    with equal rewards, has advantage 0. draws: as in `PromptStatistics.advantages`.
    """
    values = np.asarray(rewards, dtype=np.float64)
    if values.shape != (len(prompts),):
        raise ValueError(f"{len(prompts)} prompts but rewards of shape {values.shape}")
    centred, deviations = np.zeros_like(values), np.ones_like(values)
    for _, own in _groups(prompts, draws):
        if not all_equal(values[own]):
            centred[own] = values[own] - values[own].mean()
            deviations[own] = values[own].std() + SMALLEST_DEVIATION
    return _scaled(centred, deviations, scale)


def _scaled(centred_n: FloatArray, deviations_n: FloatArray, scale: Scale) -> FloatArray:
    """Centred rewards (N,) by their own deviations (N,), or all by their root mean square."""
    if scale == "own":
        return centred_n / deviations_n
    return centred_n / (np.sqrt(np.mean(np.square(centred_n))) + SMALLEST_DEVIATION)


def _groups(
    prompts: Sequence[str], draws: Sequence[int] | None
) -> Iterator[tuple[str, npt.NDArray[np.intp]]]:
    """Every group's prompt and the places of its samples, the first group first."""
    found: dict[tuple[str, int], list[int]] = {}
    for place, key in enumerate(zip(prompts, draws or [0] * len(prompts), strict=True)):
        found.setdefault(key, []).append(place)
    for (prompt, _), places in found.items():
        yield prompt, np.array(places)


def all_equal(rewards_n: FloatArray) -> bool:
    """Whether rewards differ by no more than rounding.

    Their mean is rounded too, so the differences from it are tiny but not 0, and AdamW, which
    divides by the size of gradients, would take whole steps in their direction.
    """
    spread = float(rewards_n.max() - rewards_n.min())
    return spread <= ROUNDINGS * float(np.finfo(np.float32).eps * np.abs(rewards_n).max())
