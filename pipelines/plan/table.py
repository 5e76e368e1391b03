"""A plan as text for people, and as plain values for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pipelines.plan.booking import Booking, Row

PARTS = ("weights", "gradients", "optimizer", "average", "buffers", "others", "activations")
NOTES = (
    "Not counted: encoding, decoding, rendering, measurements, checkpoints (a few per cent).",
    "reward_training fits on any GPU or CPU and takes hours at most; no other stage trains.",
)


def text(booking: Booking) -> Iterator[str]:
    """Lines about one stage."""
    work, gpu = booking.work, booking.gpu
    yield (
        f"{work.stage}: {work.cost.trained:,} of {work.cost.parameters:,} weights trained, "
        f"{work.model_flops():.2e} FLOP, batch {work.batch} on {booking.used} x {gpu.name}"
    )
    if booking.used < booking.gpus:
        yield (
            f"  {booking.gpus} GPUs cannot share a batch of {work.batch} evenly: "
            f"{booking.used} of them are used."
        )
    yield "  GiB a GPU " + "".join(f"{part[:10]:>12}" for part in PARTS) + "       total   largest"
    yield from (_line(row) for row in booking.rows)
    if booking.suggested is None:
        yield f"  Nothing fits into {gpu.memory_gib:g} GiB; it would on: {_names(booking)}."
        return
    row = booking.suggested
    yield (
        f"  Suggested: {_way(row)}, micro-batch {row.micro_batch} x accumulation "
        f"{booking.accumulation}: {booking.seconds / 3600.0:,.1f} h, "
        f"{booking.gpu_hours:,.0f} GPU hours at {booking.utilisation:.0%} of {gpu.teraflops:g} "
        "TFLOP/s"
    )


def values(booking: Booking) -> dict[str, Any]:
    """The same for `--json`; memory in bytes."""
    work, cost = booking.work, booking.work.cost
    plan: dict[str, Any] = {
        "stage": work.stage,
        "gpu_type": booking.gpu.name,
        "gpus": booking.used,
        "batch": work.batch,
        "parameters": cost.parameters,
        "trained_parameters": cost.trained,
        "flops": {
            "forward": cost.forward_flops,
            "forward_backward": cost.training_flops,
            "recomputed": cost.recomputed_flops,
            "total": work.model_flops(),
        },
        "usable_bytes": booking.gpu.usable_bytes,
        "memory": [_values(row) for row in booking.rows],
        "suggested": None,
    }
    if booking.suggested is None:
        return plan | {"fits_on": booking.fitting}
    suggested = _values(booking.suggested) | {
        "accumulation": booking.accumulation,
        "hours": booking.seconds / 3600.0,
        "gpu_hours": booking.gpu_hours,
        "executed_flops": work.executed_flops(booking.suggested.checkpointing),
    }
    return plan | {"suggested": suggested}


def _values(row: Row) -> dict[str, Any]:
    return {
        "zero_stage": row.zero,
        "gradient_checkpointing": row.checkpointing,
        "micro_batch": row.micro_batch,
        "bytes": asdict(row.memory) | {"total": row.memory.total},
    }


def _line(row: Row) -> str:
    sizes = asdict(row.memory)
    cells = "".join(f"{sizes[part] / 2**30:12.1f}" for part in PARTS)
    largest = f"{row.micro_batch:10d}" if row.micro_batch else "      none"
    return f"  {_way(row):10}{cells}{row.memory.total / 2**30:12.1f}{largest}"


def _way(row: Row) -> str:
    return f"ZeRO {row.zero}{' +gc' if row.checkpointing else ''}"


def _names(booking: Booking) -> str:
    return ", ".join(booking.fitting) or "none of the known GPUs; use more of them"
