"""How the process gets its memory from the system, and how much it had."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the C library reuse what is freed, instead of returning it to the system.

    A training step frees its activations and asks for as much a moment later; each page that was
    given back is then cleared by the system again, which took a tenth of a step of the small model
    on a CPU. The process stays as large as its largest step. Does nothing without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_TRIM_THRESHOLD, _NEVER)


def peak_memory(status: Path = Path("/proc/self/status")) -> int:
    """Bytes of the process's largest resident set so far.

    Linux keeps `ru_maxrss` across exec, so that a spawned process would be as large as the one that
    started it; `VmHWM` is of its own address space.
    """
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
