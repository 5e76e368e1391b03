"""Grids sampled from fixed prompts and seeds, to look at while a model learns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from components.core.diffusion.denoiser import PromptEmbeds
from components.core.diffusion.model import TextToImage
from components.core.diffusion.sampler import sample
from components.core.materials.grid import unpack_uint8
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.core.rendering.batch import Light, render_batch
from components.sdxl_finetune.config import Config

Images = NDArray[np.uint8]  # (B, H, W, 3)
FOLDER = "samples"
COLUMNS = 4


def preview_prompts(config: Config, cache: Path) -> list[str]:
    """The prompts of the pictures, of the training set."""
    known: list[str] = json.loads((cache / "prompts.json").read_text(encoding="utf-8"))
    rng = np.random.default_rng(derive_seed(config.seed, "preview"))
    count = min(config.preview_prompts, len(known))
    return [known[i] for i in sorted(rng.choice(len(known), size=count, replace=False))]


class LeftOff(Exception):
    """Looking was left off, for the process is to end."""


@torch.no_grad()
def sample_grids(
    model: TextToImage,
    prompts: Sequence[str] | PromptEmbeds,
    config: Config,
    stop: Callable[[], bool] = lambda: False,
) -> torch.Tensor:
    """Latents (B, C, h, w) of one grid a prompt; the seeds are 0, 1, 2, ...

    `stop` is asked after each denoising step; `LeftOff` once it is true.
    """

    def ask(step: int, steps: int) -> None:
        if stop():
            raise LeftOff

    # Compiled for the shapes of training; these are others.
    with torch.compiler.set_stance("force_eager"), torch.autocast(
        model.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"
    ):  # fmt: skip
        return sample(
            model,
            prompts,
            list(range(len(prompts))),
            steps=config.preview_steps,
            guidance=config.preview_guidance,
            progress=ask,
        )


def to_images(model: TextToImage, latents_bchw: torch.Tensor) -> Images:
    """The grids as 8-bit images."""
    images = [model.decode(latents[None]).cpu().numpy() for latents in latents_bchw]
    return (np.concatenate(images) * 255.0).round().astype(np.uint8)


def sheet(images: Images) -> NDArray[np.uint8]:
    """Images (B, H, W, 3) in rows of four, the last row filled up with black."""
    columns = min(COLUMNS, len(images))
    blank = np.zeros_like(images[:1]).repeat(-len(images) % columns, axis=0)
    cells = np.concatenate([images, blank])
    starts = range(0, len(cells), columns)
    rows = [np.concatenate(list(cells[i : i + columns]), axis=1) for i in starts]
    return np.concatenate(rows, axis=0)


def render(grids: Images, config: Config) -> Images:
    """Each grid as a material from above, all in the same light."""
    from components.core.rendering.embedded import embedded_environments
    from components.core.rendering.scene import Renderer

    renderer = Renderer(**config.rendering.model_dump())
    materials = [unpack_uint8(grid) for grid in grids]
    lights = [Light(0, 0.0, seed) for seed in range(len(materials))]
    return render_batch(renderer, materials, embedded_environments(1), lights)


class Gallery:
    """Shows grids, and renderings of them if these are wanted, to a tracker."""

    def __init__(self, config: Config, tracker: Tracker) -> None:
        self._config, self._tracker = config, tracker

    def show(self, grids: Images, name: str) -> None:
        """Logs `samples<name>.png` and `renderings<name>.png`."""
        self._tracker.log_image(sheet(grids), f"samples{name}.png")
        if self._config.preview_renderings:
            self._tracker.log_image(sheet(render(grids, self._config)), f"renderings{name}.png")

    def show_step(self, grids: Images, step: int) -> None:
        """The grids after so many steps."""
        self.show(grids, f"/{step:07d}")

    def show_files(self, folder: Path) -> None:
        """Those that a training process has left in `folder`; what was shown is removed."""
        for file in sorted(folder.glob("*.png")):
            column = np.asarray(Image.open(file).convert("RGB"))
            side = column.shape[1]
            self.show_step(column.reshape(-1, side, side, 3), int(file.stem))
            file.unlink()


def leave_file(grids: Images, step: int, folder: Path) -> None:
    """Write grids below each other for `show_files`, whole or not at all."""
    folder.mkdir(exist_ok=True)
    partial = folder / f".{step}.partial"
    Image.fromarray(grids.reshape(-1, *grids.shape[2:])).save(partial, format="PNG")
    partial.rename(folder / f"{step:07d}.png")
