"""What to book for a training stage: how it fits on the GPUs, and how long it takes."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.plan.gpus import GPUS, Gpu
from pipelines.plan.memory import Memory, memory_of
from pipelines.plan.work import Work

COMFORTABLE = 4
"""Samples in a pass from which on larger passes hardly use a GPU better."""


@dataclass(frozen=True)
class Row:
    """One way to run a stage, with the largest micro-batch that fits (0: not even one sample)."""

    zero: int
    checkpointing: bool
    micro_batch: int
    memory: Memory  # at that micro-batch, or at 1


@dataclass(frozen=True)
class Booking:
    """A stage on `used` of the GPUs; `suggested` is None if nothing fits, then `fitting` says on
    which GPUs it would."""

    work: Work
    gpu: Gpu
    gpus: int
    used: int  # how many of the GPUs the batch can be divided among
    utilisation: float
    rows: list[Row]
    suggested: Row | None
    fitting: list[str]

    @property
    def accumulation(self) -> int:
        """Forward passes of a GPU in one batch."""
        assert self.suggested is not None
        return self.work.batch // self.used // self.suggested.micro_batch

    @property
    def seconds(self) -> float:
        """Computing time, from the FLOPs carried out and the stated share of the GPUs' rate."""
        assert self.suggested is not None
        flops = self.work.executed_flops(self.suggested.checkpointing)
        return flops / (self.used * self.gpu.teraflops * 1e12 * self.utilisation)

    @property
    def gpu_hours(self) -> float:
        """Of the GPUs that are used."""
        return self.used * self.seconds / 3600.0


def book(work: Work, gpu: Gpu, gpus: int, utilisation: float) -> Booking:
    """Lay a stage's work out on GPUs. utilisation: share of `gpu.teraflops`, in (0, 1]."""
    used = max(count for count in range(1, gpus + 1) if work.batch % count == 0)
    rows = lay_out(work, gpu, used)
    suggested = suggest(rows, work.batch // used)
    fitting = []
    if suggested is None:
        fitting = [
            name for name, other in sorted(GPUS.items(), key=lambda pair: pair[1].memory_gib)
            if suggest(lay_out(work, other, used), work.batch // used)
        ]  # fmt: skip
    return Booking(work, gpu, gpus, used, utilisation, rows, suggested, fitting)


def lay_out(work: Work, gpu: Gpu, gpus: int) -> list[Row]:
    """Every ZeRO stage, without and with gradient checkpointing."""
    ways = [(z, c) for z in work.zero_stages for c in (False, True) if work.may_checkpoint or not c]
    return [_row(work, gpu, gpus, zero, checkpointing) for zero, checkpointing in ways]


def _row(work: Work, gpu: Gpu, gpus: int, zero: int, checkpointing: bool) -> Row:
    def memory(micro_batch: int) -> Memory:
        return memory_of(
            work.cost, zero=zero, gpus=gpus, micro_batch=micro_batch * work.rows,
            checkpointing=checkpointing, ema=work.ema, other_parameters=work.other_parameters,
        )  # fmt: skip

    own = work.batch // gpus
    sizes = [size for size in range(1, own + 1) if own % size == 0]
    fits = [size for size in sizes if memory(size).total <= gpu.usable_bytes]
    largest = max(fits, default=0)
    return Row(zero, checkpointing, largest, memory(largest or 1))


def suggest(rows: list[Row], own: int) -> Row | None:
    """The fastest way that fits: passes of a comfortable size first, then nothing computed twice,
    then as little as possible divided among GPUs. own: samples of each GPU in a batch."""
    fits = [row for row in rows if row.micro_batch]
    comfortable = min(COMFORTABLE, own)

    def rank(row: Row) -> tuple[bool, bool, int, int]:
        return row.micro_batch < comfortable, row.checkpointing, row.zero, -row.micro_batch

    return min(fits, key=rank, default=None)
