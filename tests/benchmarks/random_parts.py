"""Models of full size with random weights: nothing is downloaded, and speed and memory depend on
what numbers are as little as those do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

from components.core.diffusion.denoiser import PromptEmbeds
from components.core.diffusion.model import TextToImage
from components.core.diffusion.schedule import SCHEDULER_SETTINGS
from components.core.platform.config_types import Rendering
from components.core.realism.clip import ClipFeatures
from components.core.realism.reward import RealismReward
from components.core.realism.scorer import LinearScorer
from components.core.rendering.environments import load_environments
from components.core.rendering.scene import Renderer
from pipelines.plan.model import SDXL_BASE, Model

SDXL_VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
}


def vae_of(base_model: str) -> dict[str, Any]:
    """The autoencoder's configuration of SDXL or of a diffusers folder."""
    if base_model == SDXL_BASE:
        return SDXL_VAE
    config = json.loads((Path(base_model) / "vae/config.json").read_text(encoding="utf-8"))
    return {key: value for key, value in config.items() if not key.startswith("_")}


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


def random_clip(name: str, device: str) -> ClipFeatures:
    """An architecture of open_clip with random weights, or "small", the shipped model."""
    if name == "small":
        return ClipFeatures.load("small", device=device)
    model, tokenizer = open_clip.create_model(name), open_clip.get_tokenizer(name)
    return ClipFeatures(model.requires_grad_(False), tokenizer, device=device)


def random_reward(rendering: Rendering, clip: str, device: str) -> RealismReward:
    """A CLIP model and a scorer of ones: rendering and scoring take their usual time."""
    features = random_clip(clip, device)
    scorer = LinearScorer(torch.ones(features.dimension).numpy(), 0.0)
    renderer: Any = Renderer(**rendering.model_dump())
    return RealismReward(renderer, load_environments(""), features, {"reward": scorer})
