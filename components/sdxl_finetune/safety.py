"""No step is taken, and no checkpoint written, from numbers that are not finite or not repeatable.

Every process sees the losses of the whole batch and the same gradient norm, so that all of them
stop at the same step with the same sentence instead of waiting for one that has left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import torch
from deepspeed.runtime.utils import combine_grad_norm_groups
from torch import Tensor, distributed, nn

from components.core.errors import UserError
from components.sdxl_finetune.average import held

SHOWN = 8
ADVICE = (
    "lower sdxl_finetune.learning_rate, set sdxl_finetune.precision to 'float32', or take these "
    "grids out of the data set"
)


def summed(values: Tensor) -> Tensor:
    """The sum over all processes; `values` itself is changed."""
    distributed.all_reduce(values)
    return values


def anywhere(here: bool, device: torch.device | str) -> bool:
    """Whether something holds in at least one process."""
    return bool(summed(torch.tensor([float(here)], device=device)).item())


def gradient_norm(engine: Any, zero_stage: int) -> float:
    """Norm of the batch's gradient over all parameters, before clipping, equal in all processes.

    To be called between the last backward pass of a step and `engine.step()`, when the gradients
    have been averaged over the processes. Infinite when a gradient is not finite.
    """
    if zero_stage == 0:
        gradients = [p.grad for p in engine.module.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))
    optimizer = engine.optimizer
    if zero_stage < 3:
        norm = float(optimizer.scaled_global_norm())
    else:
        norm = float(combine_grad_norm_groups(optimizer._get_norm_groups()))
    # DeepSpeed says -1 for a norm that is not finite.
    return norm / float(optimizer.loss_scale) if norm >= 0 else float("inf")


def require_finite_step(
    step: int,
    items: Sequence[int],
    losses_b: Tensor,
    norm: float,
    kept: str,
    name_of: Callable[[int], str] = str,
) -> None:
    """UserError unless all losses (B,) of the step and its gradient norm are finite.

    kept: what remains of the training, for the message; name_of: which grid an item is.
    """
    bad = (~torch.isfinite(losses_b)).nonzero().flatten().tolist()
    if not bad and isfinite(norm):
        return
    if bad:
        what, which = "the training loss", [items[index] for index in bad]
    else:
        # Finite losses say little about who is to blame; the largest come first.
        order = losses_b.argsort(descending=True, stable=True).tolist()
        what, which = "the gradient", [items[index] for index in order]
    raise UserError(
        f"{what} is not finite at step {step} ({named(which, name_of)}), which was not taken: "
        f"{ADVICE}; {kept}"
    )


def named(items: Sequence[int], name_of: Callable[[int], str]) -> str:
    """Items of the training cache, of many the first few."""
    shown = ", ".join(name_of(item) for item in items[:SHOWN])
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return f"{'item' if len(items) == 1 else 'items'} {shown}{more}"


def require_finite_weights(unet: nn.Module, step: int, device: torch.device, kept: str) -> None:
    """UserError unless all weights are finite; what fails here is never written."""
    finite = all(bool(torch.isfinite(held(p)).all()) for p in unet.parameters())
    if anywhere(not finite, device):
        raise UserError(
            f"the weights are not finite after step {step}: lower sdxl_finetune.learning_rate; "
            f"{kept}"
        )


def require_no_dropout(unet: nn.Module, name: str) -> None:
    """UserError if layers of the UNet draw random numbers: a checkpoint holds no random state."""
    layers = (module for module in unet.modules() if isinstance(module, nn.Dropout))
    if share := max((layer.p for layer in layers), default=0.0):
        raise UserError(
            f"the UNet of {name} has dropout ({share}), by which a training that is interrupted "
            'would not end as one that is not: set "dropout" to 0 in its unet/config.json'
        )
