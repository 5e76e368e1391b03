"""Low-rank adapters on the UNet's attention (Hu et al. 2021), as PEFT layers.

The base stays frozen; an adapter is a few hundred kilobytes of safetensors in the format that
`StableDiffusionXLPipeline.load_lora_weights` reads. A new adapter changes nothing: its B is zero.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from components.core.diffusion.model import TextToImage
from components.core.errors import UserError

ADAPTER = "default"
WEIGHTS = "pytorch_lora_weights.safetensors"
BASE = "base.json"
"""File beside the weights with the hash of the UNet that they were trained on."""
SAMPLED = 16
ATTENTION_LAYERS = ["to_q", "to_k", "to_v", "to_out.0"]


def add_lora(unet: UNet2DConditionModel, rank: int, seed: int = 0) -> list[nn.Parameter]:
    """Freeze the UNet, add an adapter of this rank and return its float32 parameters.

    Alpha equals the rank, dropout is 0: with dropout the importance ratio of an unchanged policy
    would not be 1.
    """
    unet.requires_grad_(False)
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        lora_dropout=0.0,
        init_lora_weights="gaussian",
        target_modules=ATTENTION_LAYERS,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet.add_adapter(config, adapter_name=ADAPTER)
    parameters = lora_parameters(unet)
    for parameter in parameters:
        parameter.data = parameter.data.float()
    return parameters


def lora_parameters(unet: UNet2DConditionModel) -> list[nn.Parameter]:
    """The adapter's parameters, in a stable order."""
    return [value for name, value in unet.named_parameters() if "lora_" in name]


def lora_state(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """The adapter's weights, for checkpoints and for `save_lora`."""
    state: dict[str, Tensor] = get_peft_model_state_dict(unet, adapter_name=ADAPTER)
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def load_lora_state(unet: UNet2DConditionModel, state: dict[str, Tensor]) -> None:
    """Put weights of `lora_state` into a UNet that has an adapter of the same rank."""
    outcome: Any = set_peft_model_state_dict(unet, state, adapter_name=ADAPTER)
    if outcome.unexpected_keys:
        raise ValueError(f"these weights belong to another adapter: {outcome.unexpected_keys[:3]}")


def save_lora(unet: UNet2DConditionModel, folder: str | os.PathLike[str]) -> None:
    """Write the adapter as safetensors that diffusers' SDXL pipeline opens, and its base's hash."""
    # The pipeline's module takes seconds to import; those who only load an adapter need not wait.
    from diffusers import StableDiffusionXLPipeline

    layers = convert_state_dict_to_diffusers(lora_state(unet))
    StableDiffusionXLPipeline.save_lora_weights(
        folder, unet_lora_layers=layers, weight_name=WEIGHTS, safe_serialization=True
    )
    (Path(folder) / BASE).write_text(json.dumps({"unet": base_hash(unet)}), encoding="utf-8")


def base_hash(unet: nn.Module) -> str:
    """Names, shapes and the first few numbers of all weights but an adapter's, hashed.

    The numbers are rounded to bfloat16, so that a model opened in that or in float32 is the same.
    """
    digest = hashlib.sha256()
    for name, parameter in unet.named_parameters():
        if "lora_" not in name:
            digest.update(f"{name.replace('.base_layer', '')} {tuple(parameter.shape)} ".encode())
            first = parameter.detach().flatten()[:SAMPLED].to("cpu", torch.bfloat16)
            digest.update(first.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


_OTHER_BASE = (
    "does not fit this model: it is the adapter of another base model, give it with its own"
)


def load_lora(model: TextToImage, folder: str | os.PathLike[str]) -> TextToImage:
    """Attach a saved adapter to the model's UNet, in place, and return the model."""
    if not (Path(folder) / WEIGHTS).is_file():
        raise UserError(f"{folder} holds no {WEIGHTS}: expected the folder of a LoRA adapter")
    base = Path(folder) / BASE
    # An adapter that was trained elsewhere does not say what its base was.
    if base.is_file() and json.loads(base.read_text("utf-8"))["unet"] != base_hash(model.unet):
        raise UserError(f"{folder} {_OTHER_BASE}")
    try:
        model.unet.load_lora_adapter(
            str(folder),
            weight_name=WEIGHTS,
            prefix="unet",
            adapter_name=ADAPTER,
            use_safetensors=True,
        )
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"{Path(folder) / WEIGHTS} {_OTHER_BASE}") from error
    return model


@contextmanager
def lora_disabled(unet: UNet2DConditionModel) -> Iterator[None]:
    """The base model, for before/after pairs and reference log-probs."""
    unet.disable_adapters()
    try:
        yield
    finally:
        unet.enable_adapters()
