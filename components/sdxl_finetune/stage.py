"""Fine-tunes the base model on material grids (paper sections 4.2 and 5).

1. Encode grids and captions once into the work folder.
2. Train all of the UNet through DeepSpeed, in this process or in several that torchrun starts.
3. Save the whole model as a diffusers folder and show a few sampled grids.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray

from components.core.diffusion.model import TextToImage, load_model
from components.core.diffusion.sampler import sample
from components.core.errors import UserError
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.preemption import Preempted
from components.core.platform.seeds import derive_seed
from components.core.platform.torchrun import forward_metrics, torchrun_here, train_here
from components.core.platform.tracking import Tracker
from components.core.platform.trainjob import train_on_nodes
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import build_cache
from components.sdxl_finetune.device import announce_device, compute_device
from components.sdxl_finetune.worker import (
    CACHE,
    CONFIG,
    FAILURE,
    METRICS,
    RESULT,
    train_in_process,
)

KIND = "diffusion-model"


def run(
    config: Config, *, dataset: Sequence[Path], output: Path, work: Path, tracker: Tracker
) -> None:
    """Write the fine-tuned model to `output`; continue from `work` if it holds a checkpoint."""
    grids = [open_artifact(part, "material-grids") for part in dataset]
    announce_device(config.device)
    device = compute_device(config.device)
    model = load_model(config.base_model, device)
    tracker.log_params({"parameters": sum(p.numel() for p in model.unet.parameters())})
    build_cache(grids, model, config, work / CACHE)
    if not (work / RESULT).exists():
        if config.world_size == 1:
            _train_here(config, work, tracker)
        else:
            train_in_processes(config, work, tracker)
    unet = UNet2DConditionModel.from_pretrained(work / RESULT, use_safetensors=True)
    model = model.with_unet(unet.eval().requires_grad_(False).to(device))
    if config.preview_prompts:
        tracker.log_image(preview(model, config, work / CACHE), "samples.png")
    with new_artifact(output, KIND, producer="sdxl_finetune", config=config) as folder:
        model.save(folder, dtype=getattr(torch, config.saved_precision))


def _train_here(config: Config, work: Path, tracker: Tracker) -> None:
    try:
        train_in_process(config, work, lambda m, step: tracker.log_metrics(m, step=step))
    except Preempted as end:
        print(f"sdxl_finetune: {end}", flush=True)
        raise


def train_in_processes(config: Config, work: Path, tracker: Tracker) -> None:
    """Start torchrun, here or on a cluster's nodes, and forward rank 0's metrics meanwhile.

    What the user gave wrong and a training process found raises UserError with its sentence.
    """
    (work / CONFIG).write_text(config.model_dump_json())
    metrics, failure = work / METRICS, work / FAILURE
    metrics.unlink(missing_ok=True)
    failure.unlink(missing_ok=True)
    seen = 0

    def watch() -> None:
        nonlocal seen
        seen = forward_metrics(metrics, seen, tracker)

    try:
        _launch(config, work, watch)
    except UserError as error:
        if failure.exists():
            raise UserError(failure.read_text(encoding="utf-8")) from error
        raise


def _launch(config: Config, work: Path, watch: Callable[[], None]) -> None:
    torchrun = ["-m", "torch.distributed.run"]
    worker = ["-m", "components.sdxl_finetune.worker", str(work)]
    if config.nodes > 1:
        # The runtime sets PET_* variables, by which torchrun knows its node and its peers.
        train_on_nodes(
            "sdxl_finetune", work.stem, nodes=config.nodes, processes=config.processes,
            command=["python", *torchrun, *worker], watch=watch,
        )  # fmt: skip
        return
    train_here(torchrun_here(worker[1:], config.processes), config.processes, watch)


def preview(model: TextToImage, config: Config, cache: Path) -> NDArray[np.uint8]:
    """Sampled grids side by side, for prompts of the training set."""
    known: list[str] = json.loads((cache / "prompts.json").read_text(encoding="utf-8"))
    rng = np.random.default_rng(derive_seed(config.seed, "preview"))
    count = min(config.preview_prompts, len(known))
    prompts = [known[i] for i in sorted(rng.choice(len(known), size=count, replace=False))]
    latents = sample(
        model,
        prompts,
        list(range(count)),
        steps=config.preview_steps,
        guidance=config.preview_guidance,
    )
    images = (model.decode(latents).cpu().numpy() * 255.0).round().astype(np.uint8)
    columns = min(4, count)
    blank = np.zeros_like(images[:1]).repeat(-count % columns, axis=0)
    cells = np.concatenate([images, blank])
    rows = [np.concatenate(list(cells[i : i + columns]), axis=1) for i in range(0, count, columns)]
    return np.concatenate(rows, axis=0)
