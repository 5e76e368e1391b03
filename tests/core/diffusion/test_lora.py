"""LoRA: neutral at first, frozen base, the same in stock diffusers."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from components.core.diffusion.lora import (
    add_lora,
    load_lora,
    load_lora_state,
    lora_disabled,
    lora_state,
    save_lora,
)
from components.core.diffusion.model import TextToImage, load_model
from components.core.diffusion.sampler import sample
from components.core.errors import UserError


def velocity(model: TextToImage) -> torch.Tensor:
    x = torch.randn(1, *model.latent_shape, generator=torch.Generator().manual_seed(0))
    embeds = model.encode_prompts(["brick, red"])
    with torch.no_grad():
        result: torch.Tensor = model.unet(x, 500, **model.conditioning(embeds))[0]
    return result


def disturb(parameters: list[torch.nn.Parameter]) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in parameters:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def test_a_new_adapter_changes_nothing_and_can_be_switched_off(model: TextToImage) -> None:
    before = velocity(model)
    parameters = add_lora(model.unet, rank=4)
    assert torch.equal(velocity(model), before)
    disturb(parameters)
    assert not torch.allclose(velocity(model), before)
    with lora_disabled(model.unet):
        assert torch.equal(velocity(model), before)
    assert not torch.allclose(velocity(model), before)


def test_only_the_adapter_is_trained_and_it_repeats(model: TextToImage) -> None:
    parameters = add_lora(model.unet, rank=4, seed=3)
    trainable = [p for p in model.unet.parameters() if p.requires_grad]
    assert {id(p) for p in trainable} == {id(p) for p in parameters}
    assert all(min(p.shape) == 4 for p in parameters)


def test_saved_adapter_opens_here_and_in_stock_diffusers(
    model: TextToImage, tmp_path: Path
) -> None:
    model.save(tmp_path / "base")
    disturb(add_lora(model.unet, rank=2))
    expected = velocity(model)
    save_lora(model.unet, tmp_path / "lora")
    again = load_lora(load_model(str(tmp_path / "base")), tmp_path / "lora")
    torch.testing.assert_close(velocity(again), expected)
    pipeline = StableDiffusionXLPipeline.from_pretrained(tmp_path / "base")
    pipeline.load_lora_weights(tmp_path / "lora")
    torch.testing.assert_close(velocity(model.with_unet(pipeline.unet)), expected)


def test_state_round_trip(model: TextToImage) -> None:
    parameters = add_lora(model.unet, rank=2)
    state = lora_state(model.unet)
    before = velocity(model)
    disturb(parameters)
    load_lora_state(model.unet, state)
    assert torch.equal(velocity(model), before)


def test_a_folder_without_adapter_is_a_user_error(model: TextToImage, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="LoRA"):
        load_lora(model, tmp_path)


def test_a_model_with_adapter_is_not_saved_as_a_base(model: TextToImage, tmp_path: Path) -> None:
    add_lora(model.unet, rank=2)
    with pytest.raises(ValueError, match="save_lora"):
        model.save(tmp_path / "model")


def test_samples_change_in_stock_diffusers_as_they_do_here(
    model: TextToImage, tmp_path: Path
) -> None:
    """The same noise through both samplers, with and without the adapter."""
    model.save(tmp_path / "base")
    disturb(add_lora(model.unet, rank=2))
    save_lora(model.unet, tmp_path / "lora")
    pipeline = StableDiffusionXLPipeline.from_pretrained(tmp_path / "base")
    pipeline.set_progress_bar_config(disable=True)
    size = model.image_size
    options = {
        "num_inference_steps": 4, "guidance_scale": 3.0, "height": size, "width": size,
        "original_size": (size, size), "target_size": (size, size), "output_type": "latent",
    }  # fmt: skip

    def theirs() -> torch.Tensor:
        generator = torch.Generator().manual_seed(11)
        images: torch.Tensor = pipeline("brick, red", generator=generator, **options).images
        return images

    with lora_disabled(model.unet):
        before = sample(model, ["brick, red"], [11], steps=4, guidance=3.0)
    after = sample(model, ["brick, red"], [11], steps=4, guidance=3.0)
    assert (after - before).abs().max() > 0.05
    torch.testing.assert_close(theirs(), before, atol=2e-3, rtol=1e-3)
    pipeline.load_lora_weights(tmp_path / "lora")
    torch.testing.assert_close(theirs(), after, atol=2e-3, rtol=1e-3)
