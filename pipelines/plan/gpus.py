"""GPUs that one books: their memory, and their dense bf16 matrix rate by the data sheets."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from components.core.errors import UserError

RESERVED = 0.08
"""Share of a GPU's memory for CUDA's context, libraries' workspaces and fragmentation."""


@dataclass(frozen=True)
class Gpu:
    """A type of GPU; the rate is without sparsity, summing in float32."""

    name: str
    memory_gib: float  # as the driver reports it
    teraflops: float  # dense bf16, 1e12 floating-point operations a second

    @property
    def usable_bytes(self) -> float:
        """Memory for tensors."""
        return self.memory_gib * (1.0 - RESERVED) * 2**30


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("A10", 22.5, 125.0),
        Gpu("A100-40", 40.0, 312.0),
        Gpu("A100-80", 80.0, 312.0),
        Gpu("A6000", 48.0, 155.0),
        Gpu("B200", 179.0, 2250.0),
        Gpu("H100", 79.6, 989.0),
        Gpu("H100-PCIe", 79.6, 756.0),
        Gpu("H200", 140.4, 989.0),
        Gpu("L4", 22.5, 121.0),
        Gpu("L40S", 45.0, 362.0),
        Gpu("RTX3090", 24.0, 71.0),
        Gpu("RTX4090", 24.0, 165.0),
    )
}


def gpu_of(name: str) -> Gpu:
    """The GPU of a name, in any case; UserError with the closest name if there is none."""
    names = {_plain(known): known for known in GPUS}
    wanted = _plain(name)
    if wanted in names:
        return GPUS[names[wanted]]
    close = difflib.get_close_matches(wanted, names, n=1)
    hint = f", did you mean '{names[close[0]]}'?" if close else ""
    raise UserError(f"--gpu-type {name} is not known{hint}: give one of {', '.join(sorted(GPUS))}.")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
