"""How fast training is, and how much memory it takes."""

from __future__ import annotations

import time

import torch

from components.core.platform import memory

GIB = 2**30


class Clock:
    """Times the steps it is held around; measurements and checkpoints between them do not count."""

    def __init__(self) -> None:
        self._steps, self._seconds, self._started = 0, 0.0, 0.0

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        self._seconds += time.monotonic() - self._started
        self._steps += 1

    def rates(self, batch_size: int) -> dict[str, float]:
        """`images_per_second` since the last call."""
        rate = self._steps * batch_size / self._seconds
        self._steps, self._seconds = 0, 0.0
        return {"images_per_second": rate}


def peak_memory(device: torch.device) -> int:
    """Bytes: of the GPU if that is where training runs, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return memory.peak_memory()
