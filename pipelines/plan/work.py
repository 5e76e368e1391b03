"""The arithmetic of the two training stages, by their settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from components.ddpo_lora.config import Config as DdpoLora
from components.ddpo_lora.plan import passes_per_sample
from components.sdxl_finetune.config import Config as SdxlFinetune
from pipelines.plan.model import Model
from pipelines.plan.passes import PassCost
from pipelines.plan.unet import count_unet


@dataclass(frozen=True)
class Work:
    """One training stage.

    `batch` samples are divided among GPUs and micro-batches; each of them is `rows` in the UNet's
    batch (2 with guidance). Passes are numbers of samples times rows that go through the UNet.
    """

    stage: Literal["sdxl_finetune", "ddpo_lora"]
    cost: PassCost
    batch: int
    rows: int
    sampled: float  # passes forwards only
    trained: float  # passes forwards and backwards
    zero_stages: tuple[int, ...]
    may_checkpoint: bool
    ema: bool
    other_parameters: int

    def model_flops(self) -> float:
        """Of the whole stage, nothing computed twice."""
        return self.sampled * self.cost.forward_flops + self.trained * self.cost.training_flops

    def executed_flops(self, checkpointing: bool) -> float:
        """As carried out: gradient checkpointing computes most of the forward pass again."""
        again = self.cost.recomputed_flops if checkpointing else 0.0
        return self.model_flops() + self.trained * again


def finetuning(config: SdxlFinetune, model: Model) -> Work:
    """Stage 1 of the paper: iterations times the batch, forwards and backwards."""
    cost = count_unet(model, autocast=config.precision == "bfloat16")
    return Work(
        "sdxl_finetune", cost, config.batch_size, 1, 0.0,
        float(config.iterations * config.batch_size), (0, 1, 2, 3), True, config.ema_decay > 0, 0,
    )  # fmt: skip


def reinforcement(config: DdpoLora, model: Model) -> Work:
    """Stage 2: each sample's denoising steps forwards, and those trained backwards too; in one pass
    (`one_pass`), these are not sampled by a pass of their own.

    Left out is what one_pass judges again, of each epoch with a held-out measurement one forward
    batch. The adapter is small, so that nothing is divided by ZeRO; the frozen models are there as
    well.
    """
    cost = count_unet(model, autocast=config.precision == "bfloat16", rank=config.rank)
    rows = 2 if config.guidance > 1.0 else 1
    samples = float(config.epochs * config.samples_per_epoch * rows)
    wanted = config.window or max(1, round(config.steps * config.train_timestep_fraction))
    trained = config.inner_epochs * min(wanted, config.steps)
    forwards = passes_per_sample(config) - (trained if config.one_pass else 0)
    return Work(
        "ddpo_lora", cost, config.batch_size * config.accumulation, rows,
        samples * max(forwards, 0.0), samples * trained, (0,), True, False,
        model.other_parameters,
    )  # fmt: skip
