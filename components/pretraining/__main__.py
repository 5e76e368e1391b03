"""Command line of the pretraining: `python -m components.pretraining STEP --work DIR --out DIR`.

Steps, in order: data, pictures, clip, decoder, encoder, base, weights; `all` runs them one after
the other, and those after `pictures` may run side by side. `base` also runs under torchrun, on
several processes.
`weights` saves what the others trained. Each continues from its checkpoint in the work folder.
The weights end in DIR/sdxl-small and DIR/clip-small.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

import numpy as np
import torch

from components.pretraining.data import GRID_PREFIX, PretrainingSet
from components.pretraining.principal import PatchBasis

STEPS = ("data", "pictures", "clip", "decoder", "encoder", "base", "weights")
BASIS_FILE = "basis.safetensors"


def main() -> None:
    """Parse the arguments and run the steps asked for."""
    parser = argparse.ArgumentParser(prog="python -m components.pretraining", description=__doc__)
    parser.add_argument("step", choices=(*STEPS, "all"))
    parser.add_argument("--work", type=Path, required=True, help="data and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--materials", type=int, default=6144)
    parser.add_argument("--pictures", type=int, default=36864, help="the small CLIP's images")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clip-steps", type=int, default=5000)
    parser.add_argument("--decoder-steps", type=int, default=7000)
    parser.add_argument("--encoder-steps", type=int, default=1500)
    parser.add_argument("--base-steps", type=int, default=8_000)
    parser.add_argument("--batch", type=int, default=16, help="images a step and process (base)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if "WORLD_SIZE" in os.environ:
        torch.distributed.init_process_group("gloo")
    for step in STEPS if arguments.step == "all" else (arguments.step,):
        run_step(step, arguments)


def run_step(step: str, arguments: argparse.Namespace) -> None:
    """One step; heavy imports stay inside, because the data step starts many processes."""
    from components.pretraining import data

    folder = arguments.work / "data"
    if step == "data":
        data.build(folder, arguments.materials, 128, arguments.processes, arguments.seed)
        return
    if step == "clip":
        train_small_clip(arguments)
        return
    pretraining_set = data.load(folder)
    if step == "pictures":
        from components.pretraining import pictures

        fitted_basis(pretraining_set, arguments)
        basis = arguments.work / BASIS_FILE
        pictures.build(
            arguments.work / "pictures", arguments.pictures, basis, arguments.processes,
            arguments.seed,
        )  # fmt: skip
        return
    train_part(step, pretraining_set, arguments)


def train_small_clip(arguments: argparse.Namespace) -> None:
    """Train the small CLIP on the rendered pictures."""
    from components.pretraining import pictures
    from components.pretraining.clip import train_clip

    shown = pictures.load(arguments.work / "pictures")
    train_clip(
        shown.images, shown.prompts, shown.categories, qualities=shown.qualities,
        steps=arguments.clip_steps, batch=128, out=arguments.out / "clip-small",
        work=arguments.work / "clip", seed=arguments.seed,
    )  # fmt: skip


def fitted_basis(data: PretrainingSet, arguments: argparse.Namespace) -> PatchBasis:
    """The principal components that every part shares; from the work folder once they are there."""
    from components.core.diffusion.small import SmallConfig

    images = np.concatenate([data.grids[::16], data.renderings[::16]])
    return PatchBasis.once(arguments.work / BASIS_FILE, images, SmallConfig().latent_channels)


def train_part(step: str, data: PretrainingSet, arguments: argparse.Namespace) -> None:
    """Train the decoder, the encoder or the base, or put the three together."""
    from components.core.diffusion.small import build_small
    from components.pretraining import base, vae

    model = build_small(
        [GRID_PREFIX + prompt for prompt in data.prompts + data.rendering_prompts],
        seed=arguments.seed,
    )
    basis = fitted_basis(data, arguments)
    vae.ease(model.vae)
    halves = {
        "decoder": ([model.vae.post_quant_conv, model.vae.decoder], vae.decoder_loss),
        "encoder": ([model.vae.encoder, model.vae.quant_conv], vae.encoder_loss),
    }
    for name, (modules, loss) in halves.items():
        if step in (name, "weights"):
            vae.train_half(
                torch.nn.ModuleList(modules), loss(model.vae, basis), data.grids, data.renderings,
                steps=getattr(arguments, f"{name}_steps"), batch_size=8, learning_rate=2e-3,
                checkpoint=arguments.work / f"{name}.safetensors", seed=arguments.seed,
            )  # fmt: skip
    if step in ("base", "weights"):
        base.train_base(
            model, data, basis, steps=arguments.base_steps, batch_size=arguments.batch,
            learning_rate=8e-4, grid_share=0.92, work=arguments.work,
            seed=arguments.seed,
        )  # fmt: skip
    if step == "weights":
        model.save(arguments.out / "sdxl-small", dtype=torch.float16)


if __name__ == "__main__":
    main()
