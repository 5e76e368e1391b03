"""An epoch of stage 2 on this machine's GPU, at full size, without and with a window of steps:

    python -m tests.benchmarks.ddpo_gpu

The full SDXL configuration with random weights at 1024 x 1024, 50 denoising steps, forward batches
of 8: nothing is downloaded, and neither speed nor memory depends on what the numbers are. Epochs
are the stage's own (`Trainer`), with rendering and scoring beside the sampling. Printed are
seconds by phase, the UNet's arithmetic as a share of the rate at which this GPU multiplies large
bf16 matrices, measured in the same run, and the peak of memory. Decoding, rendering and scoring
count as time and not as arithmetic.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

from components.core.diffusion.denoiser import PromptEmbeds
from components.core.diffusion.model import TextToImage
from components.core.diffusion.schedule import SCHEDULER_SETTINGS
from components.core.platform.config_types import Rendering
from components.core.platform.tracking import NullTracker
from components.core.realism.clip import ClipFeatures
from components.core.realism.reward import RealismReward
from components.core.realism.scorer import LinearScorer
from components.core.rendering.environments import load_environments
from components.core.rendering.pool import RenderPool
from components.core.rendering.scene import Renderer
from components.ddpo_lora.config import Config
from components.ddpo_lora.trainer import Trainer
from components.ddpo_lora.training import equip
from pipelines.plan.model import SDXL_BASE, Model, describe
from pipelines.plan.passes import PassCost
from pipelines.plan.unet import count_unet
from tests.benchmarks.finetune_gpu import matrix_rate

PROMPTS = [f"material number {number}" for number in range(8)]
SDXL_VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
}


@dataclass(frozen=True)
class Result:
    """One way of training; memory in bytes (0 where it is not measured)."""

    name: str
    samples: int
    epoch_seconds: float
    seconds: dict[str, float]  # by phase; those beside the sampling overlap with it
    flops: float
    teraflops: float  # a second, over the whole epoch
    utilisation: float  # of the measured rate
    peak_bytes: int


class RandomText(TextToImage):
    """A model whose text encoders are left out: prompts become random embeddings."""

    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbeds:
        """As many numbers as the UNet takes."""
        config, generator = self.unet.config, torch.Generator().manual_seed(0)
        pooled = config["projection_class_embeddings_input_dim"]
        pooled -= 6 * config["addition_time_embed_dim"]
        width = config["cross_attention_dim"]
        return PromptEmbeds(
            torch.randn(len(prompts), 77, width, generator=generator),
            torch.randn(len(prompts), pooled, generator=generator),
        ).to(self.device)


def random_model(model: Model, vae: dict[str, Any], device: str) -> TextToImage:
    """The architecture with random weights, frozen, on the device."""
    with torch.device(device):
        parts = UNet2DConditionModel(**model.unet), AutoencoderKL(**vae)
    for part in parts:
        part.eval().requires_grad_(False)
    scheduler, nothing = DDPMScheduler(**SCHEDULER_SETTINGS), torch.nn.Identity()
    absent: Any = nothing
    return RandomText(*parts, absent, absent, absent, absent, scheduler)


def random_reward(rendering: Rendering, device: str) -> RealismReward:
    """The shipped CLIP and a scorer of ones: rendering and scoring take their usual time."""
    features = ClipFeatures.load("small", device=device)
    scorer = LinearScorer(torch.ones(features.dimension).numpy(), 0.0)
    renderer: Any = Renderer(**rendering.model_dump())
    return RealismReward(renderer, load_environments(""), features, {"reward": scorer})


def epoch_flops(config: Config, cost: PassCost) -> float:
    """The UNet's arithmetic in an epoch: all steps forwards, those trained forwards and backwards.

    With a window, and without one too, the transition to the clean image is never trained.
    """
    rows = 2 if config.guidance > 1.0 else 1
    trainable = config.steps - 1
    wanted = config.window or max(1, round(trainable * config.train_timestep_fraction))
    trained = config.inner_epochs * min(wanted, trainable)
    passes = config.samples_per_epoch * rows
    return passes * (config.steps * cost.forward_flops + trained * cost.training_flops)


def result(
    name: str, config: Config, cost: PassCost, seconds: float, phases: dict[str, float],
    rate: float, peak: int,
) -> Result:  # fmt: skip
    """Figures of an epoch. rate: measured FLOP/s."""
    flops = epoch_flops(config, cost)
    speed = flops / seconds
    samples = config.samples_per_epoch
    return Result(name, samples, seconds, phases, flops, speed / 1e12, speed / rate, peak)


def paper_days(one: Result, config: Config, rate: float, cost: PassCost) -> float:
    """Days of this GPU for the paper's 110 epochs of 256 samples, at the measured share."""
    whole = config.model_copy(update={"samples_per_epoch": 256})
    return 110 * epoch_flops(whole, cost) / (one.utilisation * rate) / 86_400


def measure(model: TextToImage, config: Config, pool: RenderPool | None, reward: RealismReward) -> (
    tuple[float, dict[str, float], int]
):  # fmt: skip
    """Seconds of one epoch after a warm-up epoch of one step, seconds by phase, peak memory."""
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
    return seconds, rows[-2]["seconds"], torch.cuda.max_memory_allocated() if gpu else 0


def main(arguments: list[str] | None = None) -> list[Result]:
    """Print the table."""
    given = parse(arguments)
    description = describe(given.base_model)
    vae = SDXL_VAE if given.base_model == SDXL_BASE else vae_of(given.base_model)
    settings: dict[str, Any] = {
        "epochs": 1, "samples_per_epoch": given.samples, "batch_size": given.samples,
        "forward_batch": given.forward_batch, "accumulation": 1, "steps": given.steps,
        "guidance": given.guidance, "precision": "bfloat16", "base_precision": "bfloat16",
        "channels_last": True, "compile": given.compile, "overlap": True,
        "gradient_checkpointing": given.gradient_checkpointing, "heldout_samples": 0,
        "render_workers": given.render_workers, "device": given.device,
        "rendering": Rendering(size=given.render_size, spp=64 if given.render_size > 64 else 4,
                               mesh_resolution=min(512, given.render_size)),
    }  # fmt: skip
    gpu = given.device == "cuda"
    rate = matrix_rate(given.device, 8192 if gpu else 512)
    rank = Config.model_fields["rank"].default
    cost = count_unet(description, autocast=True, rank=rank, gpu=gpu)
    print(
        f"matrices: {rate / 1e12:.1f} TFLOP/s; {cost.forward_flops / 1e12:.2f} TFLOP forwards and "
        f"{cost.training_flops / 1e12:.2f} forwards and backwards a sample"
    )
    results = []
    for name, window in (("all steps", 0), (f"window {given.window}", given.window)):
        config = Config(**settings, window=window)
        gc.collect()
        if gpu:
            torch.cuda.empty_cache()
        model = random_model(description, vae, given.device)
        equip(model, config)
        reward = random_reward(config.rendering, given.device)
        warm = config.model_copy(
            update={
                "samples_per_epoch": config.forward_batch, "batch_size": config.forward_batch,
                "steps": 2, "window": 1,
            }
        )  # fmt: skip
        with RenderPool(config.rendering, "", given.render_workers, 600.0) as pool:
            measure(model, warm, pool, reward)
            seconds, phases, peak = measure(model, config, pool, reward)
        results.append(result(name, config, cost, seconds, phases, rate, peak))
        del model
    show(results, given, settings, rate, cost)
    return results


def show(
    results: list[Result], given: argparse.Namespace, settings: dict[str, Any], rate: float,
    cost: PassCost,
) -> None:  # fmt: skip
    """The table, or JSON."""
    if given.json:
        print(json.dumps([asdict(one) for one in results]))
        return
    for one in results:
        phases = ", ".join(f"{name} {spent:.1f}" for name, spent in one.seconds.items())
        print(
            f"{one.name:10} {one.epoch_seconds:9.1f} s for {one.samples} samples ({phases}); "
            f"{one.teraflops:.1f} TFLOP/s, {one.utilisation:.1%} of the matrix rate (aim 45 %); "
            f"{one.peak_bytes / 2**30:.1f} GiB"
        )
    first, second = results
    days = paper_days(first, Config(**settings), rate, cost)
    print(
        f"the window is {first.epoch_seconds / second.epoch_seconds:.2f} times as fast (aim 3); "
        f"the paper's 110 epochs of 256 samples take {days:.2f} days here"
    )


def vae_of(folder: str) -> dict[str, Any]:
    """The autoencoder's configuration of a diffusers folder."""
    config = json.loads((Path(folder) / "vae/config.json").read_text(encoding="utf-8"))
    return {key: value for key, value in config.items() if not key.startswith("_")}


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
    parser.add_argument("--render-size", type=int, default=512)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("this machine has no usable GPU (--device cpu is for trying a small model)")
    return given


if __name__ == "__main__":
    main()
