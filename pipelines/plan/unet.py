"""Builds the UNet to be counted, with its inputs."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from pipelines.plan.model import Model
from pipelines.plan.passes import PassCost, count_pass


def build_unet(model: Model, rank: int = 0) -> nn.Module:
    """The UNet on the device "meta"; `rank` > 0 freezes it and adds a LoRA, as ddpo_lora does."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**model.unet).train()
        if rank:
            from components.core.diffusion.lora import add_lora

            add_lora(unet, rank)
    return unet


def unet_inputs(model: Model, batch: int) -> dict[str, Any]:
    """A batch of the model's image size, with the text and size conditioning."""
    unet = model.unet
    side, times = unet["sample_size"], 6 * unet["addition_time_embed_dim"]
    pooled = unet["projection_class_embeddings_input_dim"] - times
    return {
        "sample": torch.randn(batch, unet["in_channels"], side, side),
        "timestep": torch.zeros(batch, dtype=torch.long),
        "encoder_hidden_states": torch.randn(batch, model.tokens, unet["cross_attention_dim"]),
        "added_cond_kwargs": {
            "text_embeds": torch.randn(batch, pooled),
            "time_ids": torch.zeros(batch, 6),
        },
    }


def count_unet(model: Model, *, autocast: bool, rank: int = 0, gpu: bool = True) -> PassCost:
    """What a training pass costs, of all weights or of a LoRA of this rank."""
    return count_pass(
        lambda: build_unet(model, rank),
        lambda batch: unet_inputs(model, batch),
        autocast=autocast,
        gpu=gpu,
    )
