"""What is random in an optimizer step, as a function of the seed and the step's number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from components.core.platform.seeds import derive_seed


@dataclass(frozen=True)
class Draw:
    """The random part of one optimizer step, for the whole batch."""

    t_b: Tensor  # (B,) timesteps
    noise_bchw: Tensor
    drop_b: Tensor  # (B,) bool, captions left out

    @classmethod
    def of_step(
        cls,
        seed: int,
        step: int,
        shape: tuple[int, ...],
        train_steps: int,
        dropout: float,
        shift: float = 1.0,
    ) -> Draw:
        """Draw step number `step`. Timesteps are stratified over the batch.

        They are uniform for a `shift` of 1; above it, more of them have much noise: a share u of
        the timesteps lies below shift * u / (1 + (shift - 1) * u), as in Esser et al. (2024).
        """
        generator = torch.Generator().manual_seed(derive_seed(seed, "step", str(step)))
        batch = shape[0]
        strata = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        strata = shift * strata / (1.0 + (shift - 1.0) * strata)
        strata = strata[torch.randperm(batch, generator=generator)]
        return cls(
            (strata * train_steps).long().clamp(max=train_steps - 1),
            torch.randn(shape, generator=generator),
            torch.rand(batch, generator=generator) < dropout,
        )
