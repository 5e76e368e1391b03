"""Stage 1 on this machine's GPU, with the public script's way beside it:

    python -m tests.benchmarks.finetune_gpu --micro-batch 5

The full SDXL configuration with random weights, random latents and embeddings: nothing is
downloaded, and neither speed nor memory depends on what the numbers are. Printed are images a
second, peak memory, and the model's arithmetic as a share of the rate at which this GPU multiplies
large bf16 matrices, measured in the same run.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor, nn

from components.core.diffusion.denoiser import PromptEmbeds, time_ids
from components.core.diffusion.schedule import SCHEDULER_SETTINGS, NoiseSchedule
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.device import announce_device
from pipelines.plan.memory import memory_of
from pipelines.plan.model import SDXL_BASE, Model, describe
from pipelines.plan.passes import PassCost
from pipelines.plan.unet import count_unet
from tests.benchmarks.public_script import Example, PublicScript, collate


@dataclass(frozen=True)
class Result:
    """One way of training; memory in bytes (0 where it is not measured)."""

    name: str
    step_seconds: float
    images_per_second: float
    peak_bytes: int
    estimated_bytes: float
    utilisation: float


def result(
    name: str, seconds: float, batch: int, cost: PassCost, rate: float, peak: int, estimate: float
) -> Result:
    """Figures of a step. rate: measured FLOP/s; computing twice does not count as use."""
    images = batch / seconds
    return Result(name, seconds, images, peak, estimate, images * cost.training_flops / rate)


def matrix_rate(device: str, side: int = 8192, repeats: int = 20) -> float:
    """FLOP/s of multiplying square bf16 matrices, the best of three measurements."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(3):
        seconds = timed(lambda: a @ b, repeats, device)
        best = max(best, 2.0 * side**3 / seconds)
    return best


def timed(work: Callable[[], Any], repeats: int, device: str) -> float:
    """Mean seconds of doing the work, after once in vain."""
    work()
    _wait(device)
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    _wait(device)
    return (time.perf_counter() - started) / repeats


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


class Data:
    """Random latents and embeddings of one batch."""

    def __init__(self, model: Model, batch: int) -> None:
        unet = model.unet
        side, width = unet["sample_size"], unet["cross_attention_dim"]
        pooled = unet["projection_class_embeddings_input_dim"]
        pooled -= 6 * unet["addition_time_embed_dim"]
        self.latents = torch.randn(batch, unet["in_channels"], side, side)
        self.embeds = PromptEmbeds(
            torch.randn(batch, model.tokens, width), torch.randn(batch, pooled)
        )
        self.image_size = side * 8

    def __len__(self) -> int:
        return len(self.latents)

    def batch(self, items: NDArray[np.int64]) -> tuple[Tensor, PromptEmbeds, Tensor]:
        """As the stage's cache gives it."""
        rows = torch.from_numpy(items)
        ids = time_ids(len(rows), self.image_size)
        return self.latents[rows], self.embeds[rows], ids

    def name_of(self, item: int) -> str:
        """Of a grid."""
        return f"random {item}"

    def examples(self) -> list[Example]:
        """As the script holds them."""
        size = (self.image_size, self.image_size)
        return [
            Example(
                self.latents[i], self.embeds.tokens_bld[i], self.embeds.pooled_bd[i], size, (0, 0)
            )
            for i in range(len(self.latents))
        ]


@dataclass(frozen=True)
class Parts:
    """What the trainer uses of a model that has neither VAE nor text encoders."""

    unet: nn.Module
    schedule: NoiseSchedule
    latent_shape: tuple[int, ...]
    image_size: int


def ours(unet: nn.Module, config: Config, data: Data, device: str) -> Callable[[], Any]:
    """The trainer's own step, with all that it draws, checks and averages."""
    announce_device(device)
    from components.sdxl_finetune.trainer import Trainer

    schedule = NoiseSchedule.from_scheduler(DDPMScheduler(**SCHEDULER_SETTINGS))
    shape = tuple(data.latents.shape[1:])
    parts: Any = Parts(unet, schedule, shape, data.image_size)
    given: Any = data
    trainer = Trainer(config, parts, given, Path("unused"), lambda metrics, step: None)
    steps = itertools.count()
    return lambda: trainer._step(next(steps))


def public(unet: nn.Module, config: Config, data: Data) -> Callable[[], Any]:
    """A step of the script."""
    if config.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    script = PublicScript(
        unet, DDPMScheduler(**SCHEDULER_SETTINGS), autocast=config.precision == "bfloat16",
        learning_rate=config.learning_rate,
    )  # fmt: skip
    batch = collate(data.examples())
    return lambda: script.step(batch)


def measure(model: Model, config: Config, steps: int) -> list[Result]:
    """Both ways in turn, each with the GPU to itself."""
    device, batch = config.device, config.batch_size
    rate = matrix_rate(device, 8192 if device == "cuda" else 512)
    cost = count_unet(model, autocast=config.precision == "bfloat16", gpu=device == "cuda")
    estimate = memory_of(
        cost, zero=config.zero_stage, gpus=1, micro_batch=config.micro_batch_size,
        checkpointing=config.gradient_checkpointing, ema=config.ema_decay > 0,
    ).total  # fmt: skip
    data, results = Data(model, batch), []
    print(f"matrices: {rate / 1e12:.1f} TFLOP/s; {cost.training_flops / 1e12:.2f} TFLOP an image")
    for name in ("the public way", "ours"):
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        unet = UNet2DConditionModel(**model.unet).to(device)
        step = ours(unet, config, data, device) if name == "ours" else public(unet, config, data)
        seconds = timed(step, steps, device)
        peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
        results.append(result(name, seconds, batch, cost, rate, peak, estimate))
        del unet, step
    return results


def main(arguments: list[str] | None = None) -> list[Result]:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-model", default=SDXL_BASE, help="its configuration is used")
    parser.add_argument("--micro-batch", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--zero-stage", type=int, default=0, choices=range(4))
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--ema", type=float, default=0.0, metavar="DECAY")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("this machine has no usable GPU (--device cpu is for trying a small model)")
    config = Config(
        batch_size=given.micro_batch, micro_batch_size=given.micro_batch, precision="bfloat16",
        gradient_checkpointing=given.gradient_checkpointing, device=given.device,
        zero_stage=given.zero_stage, channels_last=given.channels_last, compile=given.compile,
        ema_decay=given.ema,
    )  # fmt: skip
    results = measure(describe(given.base_model), config, given.steps)
    if given.json:
        print(json.dumps([asdict(one) for one in results]))
        return results
    for one in results:
        print(
            f"{one.name:15} {one.images_per_second:8.2f} images/s {one.step_seconds:8.3f} s a step "
            f"{one.peak_bytes / 2**30:8.1f} GiB (estimate {one.estimated_bytes / 2**30:.1f}) "
            f"{one.utilisation:7.1%} of the matrix rate"
        )
    first, second = results
    faster = second.images_per_second / first.images_per_second
    print(f"ours is {faster:.2f} times as fast (aim 1.3), at {second.utilisation:.1%} (aim 45 %)")
    return results


if __name__ == "__main__":
    main()
