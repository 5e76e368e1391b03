"""How the engine computes: layouts, kernels, optimizer."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from pydantic import ValidationError

from components.core.diffusion.denoiser import predict_velocity
from components.core.diffusion.model import TextToImage, load_model
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.engine import start_engine, use_channels_last


@pytest.fixture
def model(base_model: Path) -> TextToImage:
    return load_model(str(base_model))


def test_channels_last_reaches_the_convolutions(model: TextToImage) -> None:
    layouts: list[bool] = []

    def look(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        layouts.append(inputs[0].is_contiguous(memory_format=torch.channels_last))

    use_channels_last(model.unet)
    model.unet.down_blocks[0].resnets[0].conv1.register_forward_pre_hook(look)
    x, t = torch.randn(2, *model.latent_shape), torch.tensor([1, 2])
    predict_velocity(model.unet, x, t, model.encode_prompts(["a", "b"]), model.image_size)
    assert layouts == [True]


def test_attention_is_torchs_fused_one(model: TextToImage) -> None:
    processors = list(model.unet.attn_processors.values())
    assert processors
    assert all(isinstance(processor, AttnProcessor2_0) for processor in processors)


def test_the_optimizer_is_adamw_with_the_configured_numbers(
    model: TextToImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fused on GPUs alone; the engine itself is not needed to see that."""
    import deepspeed

    made: list[torch.optim.Optimizer] = []

    class Stop(Exception):
        pass

    def initialize(*, optimizer: torch.optim.Optimizer, **_: Any) -> None:
        made.append(optimizer)
        raise Stop

    monkeypatch.setattr(deepspeed, "initialize", initialize)
    monkeypatch.setattr("components.sdxl_finetune.engine.join_process_group", lambda device: None)
    for device in ("cpu", "cuda"):
        config = Config(device=device, learning_rate=3e-4, weight_decay=0.2)
        with pytest.raises(Stop):
            start_engine(model.unet.requires_grad_(True), config)
    assert all(isinstance(optimizer, torch.optim.AdamW) for optimizer in made)
    groups = [optimizer.param_groups[0] for optimizer in made]
    assert [group["fused"] for group in groups] == [False, True]
    assert {(group["lr"], group["weight_decay"]) for group in groups} == {(3e-4, 0.2)}


def test_compiling_and_zero_3_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="set compile to false, or zero_stage to 2"):
        Config(compile=True, zero_stage=3)
