"""How the engine computes: layouts, kernels, optimizer."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from pydantic import ValidationError

from components.core.diffusion.acceleration import use_channels_last
from components.core.diffusion.denoiser import predict_velocity
from components.core.diffusion.model import TextToImage, load_model
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.engine import start_engine, use_plain_attention


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


def attention(model: TextToImage, config: Config, monkeypatch: pytest.MonkeyPatch) -> set[type]:
    """The kinds of attention of an engine's UNet; the engine itself is not made."""
    import deepspeed

    class Stop(Exception):
        pass

    def initialize(**_: Any) -> None:
        raise Stop

    monkeypatch.setattr(deepspeed, "initialize", initialize)
    monkeypatch.setattr("components.sdxl_finetune.engine.join_process_group", lambda device: None)
    model.unet.set_attn_processor(AttnProcessor2_0())
    with pytest.raises(Stop):
        start_engine(model.unet, config)
    return {type(processor) for processor in model.unet.attn_processors.values()}


def test_attention_is_torchs_fused_one_but_for_small_images_in_bfloat16_on_a_cpu(
    model: TextToImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, half = Config(device="cpu", precision="float32"), {"precision": "bfloat16"}
    assert attention(model, cpu, monkeypatch) == {AttnProcessor2_0}
    assert attention(model, cpu.model_copy(update=half), monkeypatch) == {AttnProcessor}
    gpu = cpu.model_copy(update={"device": "cuda", **half})
    assert attention(model, gpu, monkeypatch) == {AttnProcessor2_0}
    model.unet.register_to_config(sample_size=128)
    assert attention(model, cpu.model_copy(update=half), monkeypatch) == {AttnProcessor2_0}


def test_written_out_attention_has_the_same_gradients(model: TextToImage) -> None:
    x, t = torch.randn(2, *model.latent_shape), torch.tensor([1, 2])
    embeds = model.encode_prompts(["a", "b"])
    model.unet.requires_grad_(True)
    gradients = []
    for change in (lambda unet: None, use_plain_attention):
        change(model.unet)
        model.unet.zero_grad()
        predict_velocity(model.unet, x, t, embeds, model.image_size).square().mean().backward()
        gradients.append([p.grad.clone() for p in model.unet.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0
    for fused, plain in zip(*gradients, strict=True):
        assert torch.allclose(fused, plain, rtol=1e-3, atol=1e-6)


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
