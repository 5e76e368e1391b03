"""What the plan has to know of a base model; weights are neither loaded nor downloaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.errors import UserError

SDXL_BASE = "stabilityai/stable-diffusion-xl-base-1.0"
SDXL_UNET: dict[str, Any] = {
    "sample_size": 128,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),  # the number of heads, by a historical misnomer
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SDXL_OTHERS = 83_653_863 + 123_060_480 + 694_659_840
"""Parameters of SDXL's VAE and its two text encoders."""


@dataclass(frozen=True)
class Model:
    """A base model: the UNet's configuration, the text's length, parameters of the frozen parts."""

    unet: dict[str, Any]
    tokens: int
    other_parameters: int


def describe(base_model: str) -> Model:
    """Read the configuration of 'small', SDXL base or a diffusers folder."""
    from components.core.diffusion.model import SMALL_MODEL

    folder = SMALL_MODEL if base_model == "small" else Path(base_model)
    if base_model == SDXL_BASE and not folder.is_dir():
        return Model(SDXL_UNET, 77, SDXL_OTHERS)
    try:
        unet = json.loads((folder / "unet/config.json").read_text(encoding="utf-8"))
        text = json.loads((folder / "text_encoder/config.json").read_text(encoding="utf-8"))
        tokens = int(text["max_position_embeddings"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"sdxl_finetune.base_model: {base_model} cannot be planned for: give 'small', "
            f"'{SDXL_BASE}' or the folder of a diffusers SDXL model"
        ) from error
    others = sum(_parameters(folder / part) for part in ("vae", "text_encoder", "text_encoder_2"))
    settings = {key: value for key, value in unet.items() if not key.startswith("_")}
    return Model(settings, tokens, others)


def _parameters(folder: Path) -> int:
    """The number of parameters by the headers of the weight files."""
    from math import prod

    from safetensors import safe_open

    count = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="np") as weights:
            names = weights.keys()
            count += sum(prod(weights.get_slice(name).get_shape()) for name in names)
    return count
