"""What one training pass of a UNet costs, counted by its configuration.

The pass runs on PyTorch's fake tensors, which have shapes and no content: seconds for SDXL, hardly
any memory, no GPU. Arithmetic is that of matrix products and convolutions, a multiplication with
its addition being two operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from pipelines.plan.live import LiveBytes
from pipelines.plan.regions import SavedTensors

Build = Callable[[], nn.Module]
Inputs = Callable[[int], dict[str, Any]]


@dataclass(frozen=True)
class Line:
    """Bytes as a line over the micro-batch."""

    fixed: float
    each: float

    def at(self, batch: int) -> float:
        """Bytes at a micro-batch."""
        return self.fixed + self.each * batch


@dataclass(frozen=True)
class PassCost:
    """Counts of a UNet: FLOPs for one sample, bytes besides weights, gradients and optimizer."""

    parameters: int
    trained: int
    forward_flops: float
    training_flops: float  # forward and backward; nothing is counted twice
    recomputed_flops: float  # what gradient checkpointing adds
    activations: Line  # peak without gradient checkpointing
    boundary: Line  # with it: what is kept of each region,
    inside: Line  # and what is needed to compute the largest region again
    copies: int  # autocast's copies of all weights, which live to the end of the forward pass

    def peak(self, batch: int, checkpointing: bool) -> float:
        """Bytes of activations at their peak."""
        if not checkpointing:
            return self.activations.at(batch)
        return self.boundary.at(batch) + max(self.copies, self.inside.at(batch))

    def executed_flops(self, checkpointing: bool) -> float:
        """FLOPs of a training pass as they are carried out."""
        return self.training_flops + (self.recomputed_flops if checkpointing else 0.0)


class GpuNorms(TorchFunctionMode):
    """A GPU's autocast computes normalisations in float32, a CPU's, which is traced here, does not.

    Their input's float32 copy is then saved for the backward pass.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (nn.functional.layer_norm, nn.functional.group_norm):
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))


@contextmanager
def precision(autocast: bool, gpu: bool) -> Iterator[None]:
    """bfloat16 by autocast, or float32."""
    with ExitStack() as stack:
        if autocast:
            stack.enter_context(torch.autocast("cpu", dtype=torch.bfloat16))
            if gpu:
                stack.enter_context(GpuNorms())
        yield


def count_pass(build: Build, inputs: Inputs, *, autocast: bool, gpu: bool = True) -> PassCost:
    """Count a pass of the UNet that `build` makes, at micro-batches of one and two.

    inputs: the UNet's arguments for a batch size, called among fake tensors. gpu: count with the
    autocast of a GPU.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        first, second = _as_fake(build), _as_fake(build)
        one = _count(first, inputs(1), autocast, gpu, backward=True)
        two = _count(second, inputs(2), autocast, gpu, backward=False)

    def line(name: str) -> Line:
        first, second = getattr(one, name), getattr(two, name)
        return Line(2.0 * first - second, second - first)

    return PassCost(
        one.parameters, one.trained, one.forward_flops, one.training_flops, one.recomputed_flops,
        line("peak"), line("boundary"), line("inside"), one.copies,
    )  # fmt: skip


def _as_fake(build: Build) -> nn.Module:
    """The network with fake weights that claim to lie in a CPU's memory."""
    from torch._subclasses.fake_tensor import unset_fake_temporarily

    with unset_fake_temporarily():  # libraries change weights in ways that these do not allow
        unet = build()
    for module in unet.modules():
        for name, weight in module.named_parameters(recurse=False):
            empty = torch.empty(weight.shape, dtype=weight.dtype)
            setattr(module, name, nn.Parameter(empty, requires_grad=weight.requires_grad))
    return unet


@dataclass(frozen=True)
class _Counted:
    parameters: int
    trained: int
    forward_flops: float
    training_flops: float
    recomputed_flops: float
    peak: float
    boundary: float
    inside: float
    copies: int


def _count(
    unet: nn.Module, inputs: dict[str, Any], autocast: bool, gpu: bool, *, backward: bool
) -> _Counted:
    parameters = list(unet.parameters())
    flops = FlopCounterMode(display=False)
    saved = SavedTensors(unet, flops)
    with LiveBytes(parameters) as live, flops:
        hooks = torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda tensor: tensor)
        with hooks, precision(autocast, gpu):
            velocity = unet(**inputs, return_dict=False)[0]
        forward, peak = float(flops.get_total_flops()), live.peak
        if backward:
            velocity.float().square().mean().backward()
    return _Counted(
        sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad),
        forward, _model_flops(flops), saved.recomputed_flops, peak,
        saved.boundary_bytes, saved.inside_bytes, _copies(unet) if autocast else 0,
    )  # fmt: skip


def _model_flops(flops: FlopCounterMode) -> float:
    """Without the products that fused attention computes again in its backward pass."""
    by_name = {str(key): value for key, value in flops.get_flop_counts()["Global"].items()}
    fused = {name: value for name, value in by_name.items() if "scaled_dot_product" in name}
    back = sum(value for name, value in fused.items() if "backward" in name)
    there = sum(fused.values()) - back
    return float(flops.get_total_flops() - (back - 2.0 * there if back else 0.0))


def _copies(unet: nn.Module) -> int:
    """Autocast casts the trained weights of products and convolutions once, two bytes each."""
    layers = (nn.Linear, nn.Conv2d)
    weights = [p for m in unet.modules() if isinstance(m, layers) for p in m.parameters(False)]
    return sum(2 * weight.numel() for weight in weights if weight.requires_grad)
