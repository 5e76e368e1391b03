"""The small model is an SDXL: stock diffusers opens it and agrees with our code."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from components.core.diffusion.denoiser import guided_velocity, predict_velocity, time_ids
from components.core.diffusion.loss import loss_by_timestep, v_prediction_loss
from components.core.diffusion.model import TextToImage, load_model
from components.core.diffusion.small import (
    SmallConfig,
    build_small,
    parameter_count,
    train_vocabulary,
)
from components.core.errors import UserError
from components.core.platform.artifacts import hash_folder

PROMPTS = ["brick, old red brick wall", "metal, copper"]


@pytest.fixture(scope="module")
def folder(shared_model: TextToImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model"
    shared_model.save(path, dtype=torch.float16)
    return path


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> StableDiffusionXLPipeline:
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_shipped_sizes() -> None:
    model = build_small(PROMPTS)
    modules = (model.unet, model.vae, model.text_encoder, model.text_encoder_2)
    assert 2 * sum(map(parameter_count, modules)) <= 21e6  # bytes in float16
    assert model.image_size == 128
    assert model.latent_shape[1:] == (16, 16)


def test_stock_pipeline_samples_finite_images(pipeline: StableDiffusionXLPipeline) -> None:
    images = pipeline(PROMPTS, num_inference_steps=3, output_type="np").images
    assert images.shape == (2, 32, 32, 3)
    assert np.isfinite(images).all()


def test_schedule_settings_survive_saving(pipeline: StableDiffusionXLPipeline) -> None:
    config = pipeline.scheduler.config
    assert config.prediction_type == "v_prediction"
    assert config.timestep_spacing == "trailing"
    assert config.rescale_betas_zero_snr is True
    assert config.clip_sample is False
    assert float(pipeline.scheduler.alphas_cumprod[-1]) == 0.0


def test_conditioning_equals_the_stock_pipeline(
    pipeline: StableDiffusionXLPipeline, folder: Path
) -> None:
    model = load_model(str(folder))
    tokens, _, pooled, negative_pooled = pipeline.encode_prompt(PROMPTS, device="cpu")
    ours = model.encode_prompts(PROMPTS)
    torch.testing.assert_close(ours.tokens_bld, tokens)
    torch.testing.assert_close(ours.pooled_bd, pooled)
    torch.testing.assert_close(model.null_embeds(2).pooled_bd, negative_pooled)
    size = (model.image_size, model.image_size)
    theirs = pipeline._get_add_time_ids(
        size, (0, 0), size, torch.float32, text_encoder_projection_dim=pooled.shape[-1]
    )
    torch.testing.assert_close(time_ids(1, model.image_size), theirs)


def test_float16_files_open_as_float32(folder: Path, shared_model: TextToImage) -> None:
    model = load_model(str(folder))
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        loaded, saved = getattr(model, name), getattr(shared_model, name)
        for key, value in loaded.state_dict().items():
            expected = saved.state_dict()[key]
            if value.is_floating_point():
                assert value.dtype == torch.float32
                torch.testing.assert_close(value, expected.half().float(), atol=0, rtol=0)


def test_equal_models_are_equal_files_wherever_they_were_loaded(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "elsewhere")
    for name in ("here", "there"):
        origin = folder if name == "here" else tmp_path / "elsewhere"
        load_model(str(origin)).save(tmp_path / name, dtype=torch.float16)
    assert hash_folder(tmp_path / "here") == hash_folder(tmp_path / "there")


def test_prompts_are_told_apart_and_long_ones_are_cut(model: TextToImage) -> None:
    embeds = model.encode_prompts([*PROMPTS, "stone " * 10_000])
    assert embeds.tokens_bld.shape[:2] == (3, model.tokenizer.model_max_length)
    assert not torch.allclose(embeds.pooled_bd[0], embeds.pooled_bd[1])


def test_latent_scale_is_undone_by_decoding(model: TextToImage) -> None:
    images = torch.rand(1, 32, 32, 3)
    plain, decoded = model.encode(images), model.decode(model.encode(images))
    before = model.vae.config["scaling_factor"]
    model.vae.register_to_config(scaling_factor=0.5 * before)
    try:
        torch.testing.assert_close(model.encode(images), 0.5 * plain)
        torch.testing.assert_close(model.decode(model.encode(images)), decoded)
    finally:
        model.vae.register_to_config(scaling_factor=before)


def test_guidance_mixes_negative_and_positive_in_sdxl_order(model: TextToImage) -> None:
    embeds, x = model.encode_prompts(PROMPTS), torch.randn(2, *model.latent_shape)
    t_b = torch.tensor([500, 500])
    positive = predict_velocity(model.unet, x, t_b, embeds, model.image_size)
    negative = predict_velocity(model.unet, x, t_b, model.null_embeds(2), model.image_size)
    guided = guided_velocity(model.unet, x, 500, embeds, model.image_size, guidance=3.0)
    torch.testing.assert_close(guided, negative + 3.0 * (positive - negative))
    plain = guided_velocity(model.unet, x, 500, embeds, model.image_size, guidance=1.0)
    torch.testing.assert_close(plain, positive)
    rescaled = guided_velocity(
        model.unet, x, 500, embeds, model.image_size, guidance=3.0, rescale=1.0
    )
    torch.testing.assert_close(rescaled.std(dim=(1, 2, 3)), positive.std(dim=(1, 2, 3)))


def test_direct_conditioning_is_what_predict_velocity_passes(model: TextToImage) -> None:
    embeds, x = model.encode_prompts(PROMPTS), torch.randn(2, *model.latent_shape)
    direct = model.unet(x, torch.tensor([10, 10]), **model.conditioning(embeds))[0]
    assert torch.equal(
        direct,
        predict_velocity(model.unet, x, torch.tensor([10, 10]), embeds, model.image_size),
    )


def test_loss_trains_the_terminal_step(model: TextToImage) -> None:
    """No weighting by SNR: pure noise contributes like every other step."""
    model.unet.requires_grad_(True)
    latents, noise = torch.randn(2, *model.latent_shape), torch.randn(2, *model.latent_shape)
    embeds, t_b = model.encode_prompts(PROMPTS), torch.tensor([999, 999])
    losses = v_prediction_loss(
        model.unet, model.schedule, latents, embeds, noise, t_b, model.image_size
    )
    losses.mean().backward()
    assert losses.shape == (2,)
    gradient = model.unet.conv_in.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0
    x_t, v = noise, -latents
    predicted = predict_velocity(model.unet, x_t, t_b, embeds, model.image_size)
    torch.testing.assert_close(losses, ((predicted - v) ** 2).mean(dim=(1, 2, 3)))


def test_loss_by_timestep_uses_quarters() -> None:
    buckets = loss_by_timestep(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 249, 999]), 1000)
    assert buckets == {"loss_t0": 2.0, "loss_t3": 5.0}


def test_dropped_captions_equal_the_null_embedding(model: TextToImage) -> None:
    embeds = model.encode_prompts(PROMPTS).dropped(torch.tensor([True, False]))
    assert torch.equal(embeds.tokens_bld[:1], model.null_embeds(1).tokens_bld)
    assert torch.equal(embeds.pooled_bd[1], model.encode_prompts(PROMPTS).pooled_bd[1])


def test_a_folder_that_is_no_model_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="diffusers SDXL folder"):
        load_model(str(tmp_path))


def test_words_of_the_captions_become_single_tokens() -> None:
    model = build_small(["weathered granite"] * 9, SmallConfig.micro())
    ids = model.tokenizer("weathered granite").input_ids
    assert len(ids) == 4
    assert ids[-1] == model.text_encoder_2.config.eos_token_id == model.tokenizer.eos_token_id
    assert model.tokenizer_2.pad_token_id == 0


def test_the_vocabulary_is_the_same_in_every_process() -> None:
    """Captions with many pairs of equal count: their order must not depend on chance."""
    captions = ["old red brick wall", "scratched copper plate", "oak floor", "grey gravel"]
    merges = [train_vocabulary(captions, 600)[1] for _ in range(8)]
    assert all(other == merges[0] for other in merges)
