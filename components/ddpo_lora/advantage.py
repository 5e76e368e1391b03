"""Advantages: how much better a sample was than what its own prompt usually earns.

Materials of some prompts score higher than those of others whatever the policy does. Comparing a
sample with its own prompt's recent rewards removes that difference from the gradient (Black et
al. 2023, "Training Diffusion Models with Reinforcement Learning", section 5.3; paper section 3.2).
"""

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Added to every deviation, so that rewards which hardly differ are not blown up.
SMALLEST_DEVIATION = 1e-6
#: Rewards are computed in float32; groups within so many of its roundings are groups of equals.
ROUNDINGS = 4


class PromptStatistics:
    """The last `buffer` rewards of every prompt, and the advantages that follow from them.

    A prompt with fewer than `min_count` remembered rewards is compared with the batch it came in:
    the mean and deviation of a handful of numbers say little about the prompt.
    """

    def __init__(self, buffer: int, min_count: int) -> None:
        if not 1 <= min_count <= buffer:
            raise ValueError(f"min_count must be in 1..{buffer} (the buffer size), got {min_count}")
        self._buffer = buffer
        self._min_count = min_count
        self._rewards: dict[str, deque[float]] = {}

    def advantages(self, prompts: Sequence[str], rewards: npt.ArrayLike) -> FloatArray:
        """Remember `rewards` (N,), one per prompt, and return the N advantages as float64.

        Integer rewards are accepted: they are converted before anything is subtracted.
        """
        values = np.asarray(rewards, dtype=np.float64)
        if values.shape != (len(prompts),):
            raise ValueError(f"{len(prompts)} prompts but rewards of shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError("a reward is not finite")
        for prompt, value in zip(prompts, values, strict=True):
            self._rewards.setdefault(prompt, deque(maxlen=self._buffer)).append(float(value))
        means, deviations = np.empty_like(values), np.empty_like(values)
        for index, prompt in enumerate(prompts):
            remembered = np.asarray(self._rewards[prompt])
            basis = remembered if remembered.size >= self._min_count else values
            if all_equal(np.append(basis, values[index])):
                means[index], deviations[index] = values[index], 0.0
            else:
                means[index], deviations[index] = basis.mean(), basis.std()
        return (values - means) / (deviations + SMALLEST_DEVIATION)

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


def group_advantages(prompts: Sequence[str], rewards: npt.ArrayLike) -> FloatArray:
    """Advantages (N,) of rewards (N,) within the samples of the same prompt (Shao et al. 2024).

    Nothing is remembered: each epoch's group is its own baseline. A prompt with one sample, or
    with equal rewards, has advantage 0.
    """
    values = np.asarray(rewards, dtype=np.float64)
    if values.shape != (len(prompts),):
        raise ValueError(f"{len(prompts)} prompts but rewards of shape {values.shape}")
    names = np.asarray(prompts)
    result = np.zeros_like(values)
    for prompt in dict.fromkeys(prompts):
        own = names == prompt
        if not all_equal(values[own]):
            deviation = values[own].std() + SMALLEST_DEVIATION
            result[own] = (values[own] - values[own].mean()) / deviation
    return result


def all_equal(rewards_n: FloatArray) -> bool:
    """Whether rewards differ by no more than rounding.

    Their mean is rounded too, so the differences from it are tiny but not 0, and AdamW, which
    divides by the size of gradients, would take whole steps in their direction.
    """
    spread = float(rewards_n.max() - rewards_n.min())
    return spread <= ROUNDINGS * float(np.finfo(np.float32).eps * np.abs(rewards_n).max())
