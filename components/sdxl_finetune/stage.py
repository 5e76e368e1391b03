"""Fine-tunes the base model on material grids (paper sections 4.2 and 5).

1. Encode grids and captions once, for this run and later ones on the same data; where several
   processes train, these do it before.
2. Train all of the UNet through DeepSpeed, in this process or in several that torchrun starts.
3. Save the whole model as a diffusers folder and show a few sampled grids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from components.core.diffusion.model import TextToImage, load_model
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.preemption import Preempted
from components.core.platform.processes import train_in_group
from components.core.platform.torchrun import forward_metrics
from components.core.platform.tracking import Tracker
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.device import announce_device, compute_device, free_memory
from components.sdxl_finetune.heldout import HELDOUT, build_heldout
from components.sdxl_finetune.samples import (
    FOLDER,
    Gallery,
    preview_prompts,
    sample_grids,
    to_images,
)
from components.sdxl_finetune.shared_cache import Archiver, share_cache
from components.sdxl_finetune.shortage import encode_remedies, naming_shortage
from components.sdxl_finetune.worker import (
    CACHE,
    CONFIG,
    METRICS,
    RESULT,
    is_trained,
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
    given = config
    config = given.resolved(torch.cuda.device_count() if device == "cuda" else 0)
    if config != given:
        print(
            f"sdxl_finetune: {config.processes} processes, micro_batch_size "
            f"{config.micro_batch_size}, accumulation {config.accumulation}",
            flush=True,
        )
    model = load_model(config.base_model, device)
    trained = is_trained(work, config.iterations)
    _encode(model, config, grids, work, tracker, later=config.world_size > 1 and not trained)
    gallery = Gallery(config, tracker)
    if not trained:
        if config.world_size == 1:
            _train_here(model, config, work, tracker, gallery)
        else:
            del model  # a GPU that trains would else keep it twice
            free_memory()
            train_in_processes(config, work, tracker, gallery)
            model = load_model(config.base_model)
    unet = UNet2DConditionModel.from_pretrained(work / RESULT, use_safetensors=True)
    model = model.with_unet(unet.eval().requires_grad_(False)).to(device)
    if config.preview_prompts:
        latents = sample_grids(model, preview_prompts(config, work / CACHE), config)
        gallery.show(to_images(model, latents), "")
    with new_artifact(output, KIND, producer="sdxl_finetune", config=config) as folder:
        model.save(folder, dtype=getattr(torch, config.saved_precision))


def _encode(
    model: TextToImage, config: Config, grids: Sequence[Path], work: Path, tracker: Tracker,
    *, later: bool,
) -> None:  # fmt: skip
    """Make the cache and the held-out grids; later: the training processes make the cache."""
    tracker.log_params({"parameters": sum(p.numel() for p in model.unet.parameters())})
    with naming_shortage("to encode grids", lambda: encode_remedies(config)):
        share_cache(grids, model, config, work, CACHE, later=later)
        if config.heldout_every:
            heldout = build_heldout(grids, model, config, work / HELDOUT)
            none = "no grid has the split 'test': no held-out loss"
            said = f"held-out loss of {heldout} grids" if heldout else none
            print(f"sdxl_finetune: {said}", flush=True)


def _train_here(
    model: TextToImage, config: Config, work: Path, tracker: Tracker, gallery: Gallery
) -> None:
    """Train in this process the model that encoded; a GPU then gets what is trained alone."""
    model.to("cpu")
    free_memory()

    def log(metrics: Mapping[str, float], step: int) -> None:
        tracker.log_metrics(metrics, step=step)

    try:
        train_in_process(config, work, log, gallery.show_step, model)
    except Preempted as end:
        print(f"sdxl_finetune: {end}", flush=True)
        raise


def train_in_processes(config: Config, work: Path, tracker: Tracker, gallery: Gallery) -> None:
    """Start torchrun, here or on a cluster's nodes, and forward what rank 0 reports meanwhile.

    What the user gave wrong and a training process found raises UserError with its sentence.
    """
    (work / CONFIG).write_text(config.model_dump_json())
    metrics = work / METRICS
    metrics.unlink(missing_ok=True)
    archiver, seen = Archiver(work / CACHE), 0

    def watch() -> None:
        nonlocal seen
        seen = forward_metrics(metrics, seen, tracker)
        gallery.show_files(work / FOLDER)
        archiver.look()

    train_in_group(
        "sdxl_finetune", "components.sdxl_finetune.worker", work, nodes=config.nodes,
        processes=config.processes, watch=watch,
    )  # fmt: skip
    archiver.finish()
