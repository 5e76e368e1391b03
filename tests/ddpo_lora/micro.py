"""A model of a few thousand parameters and rewards that need no renderer, for tests of DDPO."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from components.core.diffusion.model import TextToImage
from components.core.diffusion.small import SmallConfig, build_small
from components.ddpo_lora.config import Config

PROMPTS = ["brick, red brick wall", "wood, dark oak planks", "metal, brushed steel"]
HELDOUT = ["stone, grey stone", "paper, white paper"]

Scores = Mapping[str, npt.NDArray[np.floating[Any]]]


def micro_model(levels: int = 2) -> TextToImage:
    """An untrained model which makes 32 px grids; with one level the UNet is smaller still."""
    config = SmallConfig.micro()
    config = replace(config, unet_channels=config.unet_channels[:levels])
    model = build_small([*PROMPTS, *HELDOUT], config, seed=3)
    for module in (model.unet, model.vae, model.text_encoder, model.text_encoder_2):
        module.eval().requires_grad_(False)
    # In an untrained UNet attention, and with it the adapter, hardly reaches the output.
    with torch.no_grad():
        for name, parameter in model.unet.named_parameters():
            if name.endswith("proj_out.weight"):
                parameter.mul_(6.0)
        model.unet.conv_out.weight.mul_(4.0)
    return model


def redness(
    grids_nhwc: npt.NDArray[np.floating[Any]],
    rng: np.random.Generator,
    lights_per_sample: int = 1,
    sharing: int = 1,
) -> Scores:
    """Red minus the other channels, on average; the gold scorer looks at the albedo only."""
    albedo = grids_nhwc[:, : grids_nhwc.shape[1] // 2, : grids_nhwc.shape[2] // 2]
    return {"reward": _red(grids_nhwc), "gold": _red(albedo)}


def _red(images_nhwc: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    means = images_nhwc.mean(axis=(1, 2))
    return means[:, 0] - means[:, 1:].mean(axis=1)


def micro_config(**changes: Any) -> Config:
    """Four steps, eight samples an epoch in two optimizer steps."""
    settings: dict[str, Any] = {
        "epochs": 3,
        "samples_per_epoch": 8,
        "batch_size": 4,
        "forward_batch": 4,
        "accumulation": 1,
        "steps": 4,
        "guidance": 1.0,
        "learning_rate": 1e-3,
        "clip_range": 1e-2,
        "statistics_min_count": 2,
        "heldout_every": 2,
        "heldout_samples": 4,
        "device": "cpu",
    }
    return Config(**(settings | changes))
