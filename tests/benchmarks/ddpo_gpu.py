"""An epoch of stage 2 on this machine's GPU, at full size: in two passes, in one, in a window:

    python -m tests.benchmarks.ddpo_gpu

The full SDXL configuration with random weights at 1024 x 1024, 50 denoising steps, forward batches
of 8: nothing is downloaded, and neither speed nor memory depends on what the numbers are. Where
these do not fit into memory, the way is measured again with gradient checkpointing. Epochs are the
stage's own (`Trainer`), with rendering (as in the recipe `paper`) and scoring beside the sampling,
by a CLIP ViT-L/14. Printed are seconds by phase, the UNet's arithmetic as a share of the rate
at which this GPU multiplies large bf16 matrices, measured in the same run, the peak of memory, and
how far importance ratios are from 1, which before an update they must be. Decoding, rendering and
scoring count as time and not as arithmetic, and so does what checkpointing computes again.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from components.core.diffusion.model import TextToImage
from components.core.platform.tracking import NullTracker
from components.core.realism.reward import RealismReward
from components.core.rendering.pool import RenderPool
from components.ddpo_lora.config import Config
from components.ddpo_lora.trainer import Trainer
from components.ddpo_lora.training import equip
from pipelines.plan.model import SDXL_BASE, describe
from pipelines.plan.passes import PassCost
from pipelines.plan.unet import count_unet
from pipelines.recipe import load_recipe
from tests.benchmarks.finetune_gpu import matrix_rate
from tests.benchmarks.random_parts import random_model, random_reward, vae_of

PAPER = load_recipe("paper").ddpo_lora
PROMPTS = [f"material number {number}" for number in range(8)]


@dataclass(frozen=True)
class Measured:
    """Of one epoch; memory in bytes (0 where it is not measured)."""

    seconds: float
    phases: dict[str, float]
    ratio_deviation: float
    peak_bytes: int


@dataclass(frozen=True)
class Result:
    """One way of training; of the ratio, the largest distance from 1 in each pass, on average."""

    name: str
    samples: int
    epoch_seconds: float
    seconds: dict[str, float]  # by phase; those beside the sampling overlap with it
    flops: float
    teraflops: float  # a second, over the whole epoch
    utilisation: float  # of the measured rate
    peak_bytes: int
    ratio_deviation: float
    checkpointed: bool


def epoch_flops(config: Config, cost: PassCost) -> float:
    """The UNet's arithmetic in an epoch: all steps forwards, those trained forwards and backwards.

    With a window, and without one too, the transition to the clean image is never trained. In one
    pass, what is trained is not sampled by a pass of its own.
    """
    rows = 2 if config.guidance > 1.0 else 1
    trainable = config.steps - 1
    wanted = config.window or max(1, round(trainable * config.train_timestep_fraction))
    trained = config.inner_epochs * min(wanted, trainable)
    passes = config.samples_per_epoch * rows
    sampled = config.steps - (trained if config.one_pass else 0)
    return passes * (sampled * cost.forward_flops + trained * cost.training_flops)


def result(name: str, config: Config, cost: PassCost, found: Measured, rate: float) -> Result:
    """Figures of an epoch. rate: measured FLOP/s."""
    flops = epoch_flops(config, cost)
    speed = flops / found.seconds
    return Result(
        name, config.samples_per_epoch, found.seconds, found.phases, flops, speed / 1e12,
        speed / rate, found.peak_bytes, found.ratio_deviation, config.gradient_checkpointing,
    )  # fmt: skip


def paper_days(one: Result, config: Config, rate: float, cost: PassCost) -> float:
    """Days of this GPU for the paper's 110 epochs of 256 samples, at the measured share."""
    whole = config.model_copy(update={"samples_per_epoch": 256})
    return 110 * epoch_flops(whole, cost) / (one.utilisation * rate) / 86_400


def measure(
    model: TextToImage, config: Config, pool: RenderPool, reward: RealismReward
) -> Measured:
    """One epoch."""
    with tempfile.TemporaryDirectory() as work:
        trainer = Trainer(
            model, reward, PROMPTS, [], config, Path(work), NullTracker(), render=pool
        )
        gpu = config.device == "cuda"
        if gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        rows = trainer.run()
        if gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    row, peak = rows[-2], torch.cuda.max_memory_allocated() if gpu else 0
    return Measured(seconds, row["seconds"], row.get("ratio_deviation", math.nan), peak)


def measure_new(given: argparse.Namespace, config: Config) -> Measured:
    """An epoch of a new model, after one of two steps."""
    gc.collect()
    if config.device == "cuda":
        torch.cuda.empty_cache()
    model = random_model(describe(given.base_model), vae_of(given.base_model), given.device)
    equip(model, config)
    reward = random_reward(config.rendering, given.clip, given.device)
    size = config.forward_batch
    warm = {"samples_per_epoch": size, "batch_size": size, "steps": 2, "window": 1}
    with RenderPool(config.rendering, "", given.render_workers, 600.0) as pool:
        measure(model, config.model_copy(update=warm), pool, reward)
        return measure(model, config, pool, reward)


def fitting(run: Callable[[Config], Measured], config: Config) -> tuple[Config, Measured]:
    """Measure; where the activations do not fit, once more with gradient checkpointing."""
    try:
        return config, run(config)
    except torch.OutOfMemoryError:
        if config.gradient_checkpointing:
            raise
    print("the activations do not fit into memory: again with gradient checkpointing", flush=True)
    smaller = config.model_copy(update={"gradient_checkpointing": True})
    return smaller, run(smaller)


def main(arguments: list[str] | None = None) -> list[Result]:
    """Print the table."""
    given = parse(arguments)
    gpu = given.device == "cuda"
    rendering = PAPER.rendering
    if given.render_size:
        sizes = {"size": given.render_size,
                 "mesh_resolution": min(rendering.mesh_resolution, given.render_size)}  # fmt: skip
        rendering = rendering.model_copy(update=sizes)
    base = Config(
        epochs=1, samples_per_epoch=given.samples, batch_size=given.samples,
        forward_batch=given.forward_batch, accumulation=1, steps=given.steps,
        guidance=given.guidance, precision="bfloat16", base_precision="bfloat16",
        channels_last=True, compile=given.compile, overlap=True,
        gradient_checkpointing=given.gradient_checkpointing, heldout_samples=0,
        render_workers=given.render_workers, device=given.device, rendering=rendering,
    )  # fmt: skip
    rate = matrix_rate(given.device, 8192 if gpu else 512)
    cost = count_unet(describe(given.base_model), autocast=True, rank=base.rank, gpu=gpu)
    print(
        f"matrices: {rate / 1e12:.1f} TFLOP/s; {cost.forward_flops / 1e12:.2f} TFLOP forwards and "
        f"{cost.training_flops / 1e12:.2f} forwards and backwards a sample; renderings of "
        f"{rendering.size}² at {rendering.spp} samples a pixel, scored by {given.clip}"
    )
    results = []
    for name, changes in ways(given.window, one_pass=not given.compile).items():
        config, found = fitting(partial(measure_new, given), base.model_copy(update=changes))
        results.append(result(name, config, cost, found, rate))
    show(results, given, base, rate, cost)
    return results


def ways(window: int, *, one_pass: bool) -> dict[str, dict[str, Any]]:
    """The settings of each way; a compiled UNet cannot do with one pass."""
    found: dict[str, dict[str, Any]] = {"all steps": {}}
    if one_pass:
        found["one pass"] = {"one_pass": True}
    return found | {f"window {window}": {"window": window, "one_pass": one_pass}}


def show(
    results: list[Result], given: argparse.Namespace, config: Config, rate: float, cost: PassCost
) -> None:
    """The table, or JSON."""
    if given.json:
        print(json.dumps([asdict(one) for one in results]))
        return
    for one in results:
        phases = ", ".join(f"{name} {spent:.1f}" for name, spent in one.seconds.items())
        print(
            f"{one.name:10} {one.epoch_seconds:9.1f} s for {one.samples} samples ({phases}); "
            f"{one.teraflops:.1f} TFLOP/s, {one.utilisation:.1%} of the matrix rate (aim 45 %); "
            f"{one.peak_bytes / 2**30:.1f} GiB{', checkpointed' if one.checkpointed else ''}"
            + ratio_said(one, config)
        )
    first, *others = results
    for one in others:
        aim = " (aim 3)" if one is results[-1] else ""
        print(f"{one.name}: {first.epoch_seconds / one.epoch_seconds:.2f} times as fast{aim}")
    whole = results[-2]  # all steps, in one pass if there is that way
    update = {"one_pass": whole.name == "one pass"}
    alone, guided = (
        paper_days(whole, config.model_copy(update=update | {"guidance": g}), rate, cost)
        for g in (1.0, PAPER.guidance)
    )
    print(
        f"the paper's 110 epochs of 256 samples take {alone:.2f} days here without guidance, and "
        f"{guided:.2f} with the guidance of {PAPER.guidance:g} in the recipe `paper`, which "
        f"doubles every batch ({whole.name})"
    )


def ratio_said(one: Result, config: Config) -> str:
    """How far ratios are from 1; in one pass there are none."""
    if math.isnan(one.ratio_deviation):
        return ""
    return (
        f"; importance ratio at most {one.ratio_deviation:.1e} from 1 (clip range "
        f"{config.clip_range:.0e})"
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options; full size unless told otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-model", default=SDXL_BASE, help="its configuration is used")
    parser.add_argument("--samples", type=int, default=16, help="of an epoch")
    parser.add_argument("--forward-batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--render-workers", type=int, default=8)
    parser.add_argument("--render-size", type=int, help="default: as in the recipe `paper`")
    parser.add_argument("--clip", default="ViT-L-14", help='open_clip\'s name, or "small"')
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("this machine has no usable GPU (--device cpu is for trying a small model)")
    return given


if __name__ == "__main__":
    main()
