"""Memory of one GPU in training, by what DeepSpeed's ZeRO divides among the processes.

Rajbhandari et al. 2020, section 5: stage 1 divides the optimizer's states, 2 the gradients too, 3
the weights too. Weights, gradients and both of Adam's moments are float32, as the stages keep
them (bfloat16 is autocast's); from stage 1 on DeepSpeed trains a float32 copy of its own share.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from pipelines.plan.passes import PassCost

FLOAT32 = 4
BUCKET = 500_000_000  # numbers that DeepSpeed sends at a time (reduce_bucket_size)
GATHERED = 1_000_000_000  # numbers gathered at a time at stage 3 (stage3_max_live_parameters)


@dataclass(frozen=True)
class Memory:
    """Bytes of one GPU."""

    weights: float
    gradients: float
    optimizer: float
    average: float  # EMA
    buffers: float  # of the communication
    others: float  # frozen models beside the UNet
    activations: float

    @property
    def total(self) -> float:
        """All of it."""
        return sum(asdict(self).values())


def memory_of(
    cost: PassCost,
    *,
    zero: int,
    gpus: int,
    micro_batch: int,
    checkpointing: bool,
    ema: bool = False,
    other_parameters: int = 0,
) -> Memory:
    """Bytes of each of `gpus` processes at a ZeRO stage of 0 to 3."""
    weights, trained = FLOAT32 * cost.parameters, FLOAT32 * cost.trained
    share = {stage: 1.0 / gpus if zero >= stage else 1.0 for stage in (1, 2, 3)}
    copy = trained / gpus if zero >= 1 else 0.0
    buffers = FLOAT32 * min(BUCKET, cost.trained) if zero >= 1 else 0
    buffers += FLOAT32 * min(GATHERED, cost.parameters) if zero == 3 else 0
    return Memory(
        weights=weights * share[3],
        gradients=trained * share[2],
        optimizer=2 * trained * share[1] + copy,
        average=trained * share[3] if ema else 0.0,
        buffers=float(buffers),
        others=float(FLOAT32 * other_parameters),
        activations=cost.peak(micro_batch, checkpointing),
    )
