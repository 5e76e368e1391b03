"""What is logged of the steps since the last report: their mean, and what all processes need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from importlib.util import find_spec

import psutil
import torch
from torch import Tensor, distributed

from components.sdxl_finetune.clock import GIB, peak_memory


class Window:
    """Means over the steps since the last report, each over the steps in which it occurs."""

    def __init__(self) -> None:
        self._values: defaultdict[str, list[float]] = defaultdict(list)

    def add(self, metrics: Mapping[str, float]) -> None:
        """Take in the metrics of one step."""
        for name, value in metrics.items():
            self._values[name].append(value)

    def means(self) -> dict[str, float]:
        """The means; the window begins anew."""
        means = {name: sum(values) / len(values) for name, values in self._values.items()}
        self._values.clear()
        return means


class Usage:
    """Memory and utilisation of all processes of the group."""

    def __init__(self, device: torch.device | str) -> None:
        self._device = torch.device(device)
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only starts the clock

    def of_all(self) -> dict[str, float]:
        """The largest and the smallest of all processes; all of them call this.

        `memory_gib` is the peak so far. `utilisation`: of a GPU the share of time in which it
        computes, where the driver's library is installed; else the CPU cores in use.
        """
        own = {"memory_gib": peak_memory(self._device) / GIB}
        if self._device.type == "cpu":
            own["utilisation"] = self._process.cpu_percent() / 100.0
        elif find_spec("pynvml") is not None:
            own["utilisation"] = torch.cuda.utilization(self._device) / 100.0
        values = torch.tensor(list(own.values()), device=self._device)
        most, least = _extremes(values)
        return dict(zip(own, most.tolist(), strict=True)) | {
            f"{name}_least": value for name, value in zip(own, least.tolist(), strict=True)
        }


def _extremes(values: Tensor) -> tuple[Tensor, Tensor]:
    most, least = values.clone(), values.clone()
    distributed.all_reduce(most, op=distributed.ReduceOp.MAX)
    distributed.all_reduce(least, op=distributed.ReduceOp.MIN)
    return most, least
