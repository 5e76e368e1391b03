"""What a forward pass keeps for its backward pass, by the regions of gradient checkpointing.

With checkpointing only the inputs of each region are kept, and one region at a time is computed
again. Both figures come from one forward pass without it, so nothing needs to run twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass
class Region:
    """Storages that go into a part of the network, those saved inside of it, and its FLOPs."""

    inputs: set[int] = field(default_factory=set)
    saved: set[int] = field(default_factory=set)
    flops: float = 0.0


class SavedTensors:
    """Watches a forward pass: `pack` is for `torch.autograd.graph.saved_tensors_hooks`."""

    def __init__(self, unet: nn.Module, flops: FlopCounterMode) -> None:
        self.outside, self.regions = Region(), list[Region]()
        self._sizes: dict[int, int] = {}
        self._referred: list[Any] = []  # so that a freed storage's key is not given again
        self._weights = {p.untyped_storage()._cdata for p in unet.parameters()}
        self._current, self._flops, self._before = self.outside, flops, 0.0
        for module in checkpointed_modules(unet):
            module.register_forward_pre_hook(self._enter, with_kwargs=True)
            module.register_forward_hook(self._leave)

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._current = Region()
        self.regions.append(self._current)
        self._before = self._flops.get_total_flops()
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        self._current.inputs.update(self._key(leaf) for leaf in leaves)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self._current.flops = self._flops.get_total_flops() - self._before
        self._current = self.outside

    def pack(self, tensor: Tensor) -> Tensor:
        """Called with each tensor that autograd saves; weights are there anyway."""
        key = self._key(tensor)
        if key not in self._weights:
            self._current.saved.add(key)
        return tensor

    def _key(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        key = int(storage._cdata)
        if key not in self._sizes:
            self._referred.append(storage)
            self._sizes[key] = storage.nbytes()
        return key

    def _bytes(self, keys: set[int]) -> int:
        return sum(self._sizes[key] for key in keys)

    @property
    def saved_bytes(self) -> int:
        """All that is kept without checkpointing."""
        return self._bytes(self.outside.saved.union(*(r.saved for r in self.regions)))

    @property
    def boundary_bytes(self) -> int:
        """What checkpointing keeps: inputs of all regions, and what lies outside of them."""
        return self._bytes(self._boundary())

    @property
    def inside_bytes(self) -> int:
        """What the largest region needs in addition while it is computed again."""
        boundary = self._boundary()
        return max((self._bytes(r.saved - boundary) for r in self.regions), default=0)

    @property
    def recomputed_flops(self) -> float:
        """Arithmetic of all regions' forward passes."""
        return sum(region.flops for region in self.regions)

    def _boundary(self) -> set[int]:
        return self.outside.saved.union(*(region.inputs for region in self.regions))


def checkpointed_modules(unet: nn.Module) -> list[nn.Module]:
    """What diffusers computes again: every transformer layer, and every residual block but the
    first one of the middle."""
    return [
        module
        for name, module in unet.named_modules()
        if type(module).__name__ in ("BasicTransformerBlock", "ResnetBlock2D")
        and name != "mid_block.resnets.0"
    ]
