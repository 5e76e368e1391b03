"""The policy gradient collected while sampling, so that the update needs no pass of its own.

As long as the policy has not moved since a sample was made, its importance ratio is 1 and the
clipped surrogate's gradient is the score function's, -A sum_t grad log p(x_{t-1} | x_t): the
advantage A, which is known only once the sample is rendered, is a mere factor. So each transition
is differentiated right where it is sampled, and what is kept of a sample is its own gradient,
which for an adapter is small. The update then weighs these by the advantages. Per step that is one
forward and backward pass instead of two forward passes and a backward one: for SDXL 14.1 TFLOP
instead of 20.9.

An adapter's layer is linear, so a sample's gradient is the product of what went into the layer and
of the gradient of what came out of it, both of which have a row for each sample.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Take = Callable[[Tensor, Tensor], None]
Gradients = dict[str, Tensor]
"""By parameter: (B, *its shape), float32, one of each sample."""


class _Tap(torch.autograd.Function):
    """Passes a layer's output on; on the way back, hands what had entered the layer and the
    gradient of its output to `take`. What is saved here gradient checkpointing computes anew."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, entered: Tensor, take: Take) -> Tensor:
        ctx.save_for_backward(entered)
        ctx.take = take
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, left: Tensor) -> tuple[Tensor, None, None]:
        ctx.take(*ctx.saved_tensors, left)
        return left, None, None


class SampleGradients:
    """Gradients of B samples' log-probabilities by the trained parameters of a UNet.

    While entered, passes through the UNet with gradients enabled can be differentiated by `add`. A
    pass may hold each sample several times, in the order of guidance: all of them without prompt,
    then all of them with it.
    """

    def __init__(self, unet: nn.Module, count: int) -> None:
        """ValueError if something other than linear layers without bias is trained."""
        self._count, self._share = count, 0.0
        self._layers = {f"{name}.weight": layer for name, layer in trained_layers(unet).items()}
        self._hooks: list[Any] = []
        self.gradients: Gradients = {
            name: layer.weight.new_zeros((count, *layer.weight.shape), dtype=torch.float32)
            for name, layer in self._layers.items()
        }

    def __enter__(self) -> SampleGradients:
        self._hooks = [
            layer.register_forward_hook(self._tapped(name)) for name, layer in self._layers.items()
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def add(self, log_probs_b: Tensor, share: float) -> None:
        """Add `share` times the gradient of each log-probability (B,)."""
        self._share = share
        weights = [layer.weight for layer in self._layers.values()]
        torch.autograd.grad(log_probs_b, weights, torch.ones_like(log_probs_b), allow_unused=True)

    def _tapped(self, name: str) -> Any:
        def tap(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if not output.requires_grad:
                return output
            tapped: Tensor = _Tap.apply(output, inputs[0].detach(), partial(self._take, name))
            return tapped

        return tap

    def _take(self, name: str, entered_nli: Tensor, left_nlo: Tensor) -> None:
        """Add the weight's gradient (B, o, i), summed over places and over a sample's rows."""
        rows = len(entered_nli)
        left = left_nlo.reshape(rows, -1, left_nlo.shape[-1]).float()
        entered = entered_nli.reshape(rows, -1, entered_nli.shape[-1]).float()
        products = torch.bmm(left.transpose(1, 2), entered)
        by_sample = products.unflatten(0, (-1, self._count)).sum(dim=0)
        self.gradients[name].add_(by_sample, alpha=self._share)


def trained_layers(unet: nn.Module) -> dict[str, nn.Linear]:
    """The layers whose weights are trained, by name; ValueError if anything else is."""
    trained = {name for name, value in unet.named_parameters() if value.requires_grad}
    layers = {
        name: layer
        for name, layer in unet.named_modules()
        if isinstance(layer, nn.Linear) and f"{name}.weight" in trained
    }
    if other := trained - {f"{name}.weight" for name in layers}:
        raise ValueError(f"one_pass trains weights of linear layers only, not {min(other)}")
    return layers


def weighted(gradients: Gradients, weights_b: Tensor) -> Gradients:
    """The sum over samples of weight (B,) times gradient; a sample of weight 0 is left out."""
    counted = weights_b != 0  # what is not finite in a dropped sample must not reach the sum
    weights = weights_b[counted].float()
    return {
        name: torch.tensordot(weights, values[counted], dims=1)
        for name, values in gradients.items()
    }
