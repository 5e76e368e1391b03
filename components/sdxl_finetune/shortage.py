"""Too little memory, as one sentence that says what would fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from components.core.errors import UserError
from components.sdxl_finetune.config import Config

SIGNS = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""Of errors that have no type of their own: the CPU's allocator, NCCL, cuBLAS."""
MORE = "use a machine with more memory"


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of the GPU or of the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


@contextmanager
def naming_shortage(
    doing: str, remedies: Callable[[], Sequence[str]], kept: Callable[[], str] = lambda: ""
) -> Iterator[None]:
    """Turn running out of memory into a UserError: what was done, what helps, what is left."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        left = f"; {rest}" if (rest := kept()) else ""
        advice = ", or ".join(remedies()) or MORE
        raise UserError(
            f"too little memory {doing} ({said.rstrip('.')}): {advice}{left}"
        ) from error


def described(config: Config) -> str:
    """The settings on which the memory of a training process depends most."""
    return f"with micro_batch_size {config.micro_batch_size} at zero_stage {config.zero_stage}"


def remedies(config: Config, begun: Path | None) -> list[str]:
    """Changes of the training's settings that need less memory, the cheapest first.

    begun: the folder of checkpoints if there are any, which another ZeRO stage can't continue.
    """
    own = config.batch_size // config.world_size
    smaller = [n for n in range(1, config.micro_batch_size) if own % n == 0]
    found = []
    if smaller:
        found.append(f"set sdxl_finetune.micro_batch_size to {smaller[-1]}")
    if not config.gradient_checkpointing:
        found.append("set sdxl_finetune.gradient_checkpointing to true")
    if config.zero_stage < 3 and config.world_size > 1 and not config.compile:
        other = f" and start again: remove {begun}, which another stage can't continue"
        again = other if begun else ""
        found.append(f"set sdxl_finetune.zero_stage to 3{again}")
    return found


def encode_remedies(config: Config) -> list[str]:
    """The same for encoding."""
    size = config.encode_batch_size
    return [f"set sdxl_finetune.encode_batch_size to {size // 2}"] if size > 1 else []
