"""Several processes that train one adapter, each on its share of the samples.

Neither DistributedDataParallel nor accelerate nor DeepSpeed wraps the UNet here. An adapter has
some hundred thousand parameters and an optimizer step collects its gradient over hundreds of
backward passes, so what has to be exchanged is one small vector a step, after the last pass.
A wrapper's hooks would have to be silenced in every pass but that one, would miss the passes with
the adapter switched off, and desert ranks silently where a forward pass goes around the wrapper.
Sums of plain vectors do the same in ten lines, with any number of passes a process, and every
process checks after each step that all have the same parameters.
"""

import os
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed

FloatArray = npt.NDArray[np.float64]


class Group:
    """The processes of a run; of one process, every operation is the identity."""

    def __init__(self, rank: int = 0, size: int = 1, device: str | torch.device = "cpu") -> None:
        self.rank = rank
        self.size = size
        self._device = device

    @classmethod
    def join(cls, device: str) -> "Group":
        """Join torchrun's processes, over nccl on GPUs and gloo on CPUs."""
        if not distributed.is_initialized():
            if device == "cuda":
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            distributed.init_process_group("nccl" if device == "cuda" else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size(), device)

    def sum(self, values: npt.ArrayLike) -> FloatArray:
        """The element-wise sum over the processes; all must give the same shape."""
        array = np.array(values, dtype=np.float64)
        if self.size == 1:
            return array
        tensor = torch.from_numpy(array).to(self._device)
        distributed.all_reduce(tensor)
        return tensor.cpu().numpy()

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace gradients by their sum over the processes; none counts as zero."""
        if self.size == 1:
            return
        trained = list(parameters)
        flat = torch.cat(
            [(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in trained]
        )
        distributed.all_reduce(flat)
        for parameter, part in zip(trained, flat.split([p.numel() for p in trained]), strict=True):
            parameter.grad = part.view_as(parameter).clone()

    def check_equal(self, tensors: Iterable[Tensor]) -> None:
        """RuntimeError unless all processes have the same numbers, to the last bit.

        Each sends a sum of the numbers' bit patterns, weighted by position.
        """
        if self.size == 1:
            return
        bits = torch.cat([t.detach().float().flatten().cpu() for t in tensors]).view(torch.int32)
        weights = torch.arange(1, len(bits) + 1) % 65_521
        digest = int((bits.long() * weights).sum()) % 2**31
        digests = np.zeros(self.size)
        digests[self.rank] = digest
        if len(set(self.sum(digests))) > 1:
            raise RuntimeError("the processes' parameters have come apart")
