"""Ways of having the UNet compute faster, which change nothing but rounding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def use_channels_last(unet: nn.Module) -> None:
    """Have the UNet compute with its images laid out channel by pixel.

    The layout of a convolution follows from its input. The weights' own would not survive
    DeepSpeed, which keeps them in one flat vector.
    """

    def rearrange(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        first, *others = inputs
        return first.contiguous(memory_format=torch.channels_last), *others

    unet.register_forward_pre_hook(rearrange)


def compile_alike(unet: nn.Module) -> None:
    """Compile the UNet so that it computes the same with and without gradients, to the last bit.

    torch.compile makes one program for each mode, whose operations are fused differently and so
    round differently; an importance ratio would not be 1 where nothing has changed. Here the
    program that can be differentiated serves both, at the price of its memory while one pass runs.
    Each shape has a program of its own, for the same reason.
    """
    compiled = torch.compile(unet.forward, dynamic=False)

    def forward(*args: Any, **kwargs: Any) -> Any:
        with torch.enable_grad():
            return compiled(*args, **kwargs)

    unet.forward = forward
