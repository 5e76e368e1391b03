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

from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

Gradients = dict[str, Tensor]
"""By parameter: (B, *its shape), float32, one of each sample."""


class SampleGradients:
    """Gradients of B samples' log-probabilities by the trained parameters of a UNet.

    While entered, every pass through the UNet with gradients enabled is taken note of; `add` then
    differentiates what follows from it. A pass may hold each sample several times, in the order
    of guidance: all of them without prompt, then all of them with it.
    """

    def __init__(self, unet: nn.Module, count: int) -> None:
        """ValueError if something other than linear layers without bias is trained."""
        self._count = count
        self._layers = {f"{name}.weight": layer for name, layer in trained_layers(unet).items()}
        self._passed: list[tuple[str, Tensor, Tensor]] = []
        self._hooks: list[Any] = []
        self._noting = True
        self.gradients: Gradients = {
            name: layer.weight.new_zeros((count, *layer.weight.shape), dtype=torch.float32)
            for name, layer in self._layers.items()
        }

    def __enter__(self) -> SampleGradients:
        self._hooks = [
            layer.register_forward_hook(self._note(name)) for name, layer in self._layers.items()
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._passed.clear()

    def add(self, log_probs_b: Tensor, share: float) -> None:
        """Add `share` times the gradient of each log-probability (B,), and free their graph."""
        passed, self._passed = self._passed, []
        self._noting = False  # checkpointed layers are passed again meanwhile
        try:
            outputs = [output for _, _, output in passed]
            ones = torch.ones_like(log_probs_b)
            found = torch.autograd.grad(log_probs_b, outputs, ones, allow_unused=True)
        finally:
            self._noting = True
        for (name, entered, _), left in zip(passed, found, strict=True):
            if left is not None:
                self.gradients[name].add_(self._by_sample(entered, left), alpha=share)

    def _note(self, name: str) -> Any:
        def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if self._noting and output.requires_grad:
                self._passed.append((name, inputs[0].detach(), output))

        return note

    def _by_sample(self, entered_nli: Tensor, left_nlo: Tensor) -> Tensor:
        """The weight's gradient (B, o, i), summed over places and over a sample's rows."""
        rows = len(entered_nli)
        left = left_nlo.reshape(rows, -1, left_nlo.shape[-1]).float()
        entered = entered_nli.reshape(rows, -1, entered_nli.shape[-1]).float()
        products = torch.bmm(left.transpose(1, 2), entered)
        return products.unflatten(0, (-1, self._count)).sum(dim=0)


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
