"""Averaged weights (EMA), each process keeping what it holds of the parameters.

Below ZeRO 3 that is all of them; at ZeRO 3 it is the process's own shard, so that averaging needs
no communication and divides its memory as the parameters do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def held(parameter: nn.Parameter) -> Tensor:
    """What this process keeps of a parameter: all of it, or its shard at ZeRO 3."""
    shard = getattr(parameter, "ds_tensor", None)
    return parameter.detach() if shard is None else shard


class Average:
    """An exponential moving average of the parameters of `unet`, beginning where they are."""

    def __init__(self, unet: nn.Module, decay: float) -> None:
        self._unet, self._decay = unet, decay
        self._values = {n: held(p).detach().clone() for n, p in unet.named_parameters()}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the parameters as they are now."""
        for name, parameter in self._unet.named_parameters():
            self._values[name].lerp_(held(parameter), 1.0 - self._decay)

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint: this process's part."""
        return dict(self._values)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state()` of before."""
        self._values = {n: state[n].to(value.device) for n, value in self._values.items()}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the average be the parameters for a while; all processes enter and leave together.

        Takes no second copy: the two are exchanged, one parameter at a time.
        """
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self._unet.named_parameters():
            _drop_gathered(parameter)
            values = held(parameter)
            trained = values.clone()
            values.copy_(self._values[name])
            self._values[name].copy_(trained)

    @torch.no_grad()
    def copy_to_parameters(self) -> None:
        """Replace the parameters by their average; training ends with this."""
        for name, parameter in self._unet.named_parameters():
            _drop_gathered(parameter)
            held(parameter).copy_(self._values[name])


def _drop_gathered(parameter: nn.Parameter) -> None:
    """At ZeRO 3, forget a gathered copy, which would keep the older values."""
    partition = getattr(parameter, "partition", None)
    if partition is not None:
        partition()
