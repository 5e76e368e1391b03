"""One process's training from files to the adapter in the work folder."""

import shutil
from contextlib import ExitStack
from pathlib import Path

import torch
from pydantic import BaseModel
from torch import nn

from components.core.diffusion.acceleration import compile_alike, use_channels_last
from components.core.diffusion.lora import add_lora, save_lora
from components.core.diffusion.model import TextToImage, load_model
from components.core.platform.device import choose_device
from components.core.platform.memory import keep_freed_memory
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.core.realism.reward import RealismReward, RewardFunction, load_reward
from components.core.rendering.pool import RenderPool
from components.ddpo_lora.config import Config
from components.ddpo_lora.direct import Begin, shaded
from components.ddpo_lora.history import Row
from components.ddpo_lora.parallel import Group
from components.ddpo_lora.prompts import Prompts, read_prompts
from components.ddpo_lora.scoring import Render
from components.ddpo_lora.trainer import Trainer

RESULT = "adapter"
"""Folder of the trained adapter in the work folder."""


class Inputs(BaseModel, frozen=True):
    """Folders of the artifacts that a run reads, and the URI of its environments."""

    model: str
    reward: str
    prompts: str
    environments: str


def train(
    config: Config, given: Inputs, work: Path, tracker: Tracker, group: Group | None = None
) -> list[Row]:
    """Open the inputs and train; see `train_adapter`."""
    device = choose_device(config.device)
    if device == "cpu":
        keep_freed_memory()
    prompts = read_prompts(Path(given.prompts))
    model = load_model(given.model, device=device)
    reward = load_reward(
        Path(given.reward), given.environments, config.rendering, device, config.scorer
    )
    with ExitStack() as stack:
        render: Render | None = None
        if config.render_workers:
            pool = RenderPool(
                config.rendering, given.environments, config.render_workers, config.render_timeout,
                gpu=torch.cuda.current_device() if device == "cuda" else None,
            )  # fmt: skip
            render = stack.enter_context(pool)
        return train_adapter(config, model, reward, prompts, work, tracker, render, group)


def train_adapter(
    config: Config,
    model: TextToImage,
    reward: RewardFunction,
    prompts: Prompts,
    work: Path,
    tracker: Tracker,
    render: Render | None = None,
    group: Group | None = None,
    gradient: Begin | None = None,
) -> list[Row]:
    """Train a new adapter, write it to `work / RESULT` and return the history."""
    group = group or Group()
    equip(model, config)
    announce_prompt_minimum(config, len(prompts.train), group)
    if gradient is None and isinstance(reward, RealismReward):
        gradient = shaded(reward, config)
    trainer = Trainer(
        model,
        reward,
        prompts.train,
        prompts.heldout,
        config,
        work,
        tracker,
        categories=prompts.categories,
        render=render,
        group=group,
        gradient=gradient,
    )
    history = trainer.run()
    if group.rank == 0:
        partial = work / f".{RESULT}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        save_lora(model.unet, partial)
        shutil.rmtree(work / RESULT, ignore_errors=True)
        partial.rename(work / RESULT)
    return history


def equip(model: TextToImage, config: Config) -> None:
    """Give the model's UNet an adapter and have it compute as configured."""
    unet = model.unet
    if config.base_precision == "bfloat16":
        nn.Module.to(unet, torch.bfloat16)
    add_lora(unet, config.rank, seed=derive_seed(config.seed, "ddpo_lora", "adapter"))
    if config.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
        if config.method == "direct":
            model.vae.enable_gradient_checkpointing()
    if config.channels_last:
        use_channels_last(unet)
    if config.compile:
        compile_alike(unet)


def announce_prompt_minimum(config: Config, prompts: int, group: Group) -> None:
    """Say so if no prompt will ever have the samples that its own statistics need."""
    samples = config.epochs * config.samples_per_epoch // prompts
    below = config.advantages == "history" and samples < config.statistics_min_count
    if below and group.rank == 0:
        print(
            f"ddpo_lora: each of {prompts} prompts will have about {samples} samples in all, fewer "
            f"than statistics_min_count = {config.statistics_min_count}: samples are compared with "
            "their whole epoch instead of with their prompt",
            flush=True,
        )
