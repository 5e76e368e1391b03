"""A text-to-image model: SDXL, or the small model that has SDXL's architecture.

Both are diffusers folders and go through the same code. The scheduler that comes out of here
always has zero terminal SNR, v-prediction and trailing timesteps (see `schedule`).
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from components.core.diffusion.denoiser import PromptEmbeds, time_ids
from components.core.diffusion.schedule import NoiseSchedule, scheduler_settings
from components.core.errors import UserError

SMALL_MODEL = Path(__file__).resolve().parents[1] / "weights" / "sdxl-small"


@dataclass(frozen=True)
class TextToImage:
    """The parts of an SDXL pipeline. Modules are shared, not copied, by `replace`."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    text_encoder_2: CLIPTextModelWithProjection
    tokenizer: CLIPTokenizer
    tokenizer_2: CLIPTokenizer
    scheduler: DDPMScheduler

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule of the scheduler."""
        return NoiseSchedule.from_scheduler(self.scheduler)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image's latents."""
        side = int(self.unet.config["sample_size"])
        return int(self.vae.config["latent_channels"]), side, side

    @property
    def image_size(self) -> int:
        """Side of the images (material grids) in pixels."""
        downsampling: int = 2 ** (len(self.vae.config["block_out_channels"]) - 1)
        return self.latent_shape[1] * downsampling

    @property
    def device(self) -> torch.device:
        """Where the UNet is."""
        return next(self.unet.parameters()).device

    def tokenize(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids (B, L) for both encoders; long prompts are cut at L tokens."""
        first, second = (
            tokenizer(
                list(prompts),
                padding="max_length",
                max_length=tokenizer.model_max_length,
                truncation=True,
                return_tensors="pt",
            ).input_ids.to(self.device)
            for tokenizer in (self.tokenizer, self.tokenizer_2)
        )
        return first, second

    def embed_tokens(self, first_bl: Tensor, second_bl: Tensor) -> PromptEmbeds:
        """Conditioning from token ids, differentiable (pretraining trains the encoders too)."""
        hidden = self.text_encoder(first_bl, output_hidden_states=True).hidden_states[-2]
        second = self.text_encoder_2(second_bl, output_hidden_states=True)
        return PromptEmbeds(
            torch.cat([hidden, second.hidden_states[-2]], dim=-1).float(),
            second.text_embeds.float(),
        )

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbeds:
        """Conditioning of B prompts, float32, on the model's device."""
        return self.embed_tokens(*self.tokenize(prompts))

    def null_embeds(self, batch: int) -> PromptEmbeds:
        """The unconditional embedding: zeros (SDXL's force_zeros_for_empty_prompt)."""
        length = int(self.tokenizer.model_max_length)
        width = int(self.unet.config["cross_attention_dim"])
        pooled = int(self.text_encoder_2.config.projection_dim)
        return PromptEmbeds(
            torch.zeros(batch, length, width, device=self.device),
            torch.zeros(batch, pooled, device=self.device),
        )

    def conditioning(self, embeds: PromptEmbeds) -> dict[str, Any]:
        """Keyword arguments for a direct call of the UNet (`predict_velocity` does the same)."""
        ids = time_ids(len(embeds), self.image_size, embeds.pooled_bd.device)
        return {
            "encoder_hidden_states": embeds.tokens_bld,
            "added_cond_kwargs": {"text_embeds": embeds.pooled_bd, "time_ids": ids},
        }

    @torch.no_grad()
    def encode(self, images_bhwc: Tensor) -> Tensor:
        """Images (B, H, W, 3) in [0, 1] to scaled latents (B, C, h, w), the posterior's mode."""
        images = images_bhwc.to(self.device, self.vae.dtype).permute(0, 3, 1, 2) * 2.0 - 1.0
        latents = self.vae.encode(images).latent_dist.mode().float()
        scale, shift = self._latent_scale()
        return (latents - shift) * scale

    @torch.no_grad()
    def decode(self, latents_bchw: Tensor) -> Tensor:
        """Scaled latents to images (B, H, W, 3) float32 in [0, 1]; no tiling: it leaves seams."""
        return self.decode_with_gradient(latents_bchw)

    def decode_with_gradient(self, latents_bchw: Tensor) -> Tensor:
        """As `decode`, differentiable in the latents."""
        scale, shift = self._latent_scale()
        latents = (latents_bchw.float() / scale + shift).to(self.device, self.vae.dtype)
        images = self.vae.decode(latents, return_dict=False)[0]
        return (images.float().permute(0, 2, 3, 1) * 0.5 + 0.5).clamp(0.0, 1.0)

    def _latent_scale(self) -> tuple[float, float]:
        config = self.vae.config
        return float(config["scaling_factor"]), float(config.get("shift_factor") or 0.0)

    def to(self, device: str | torch.device) -> TextToImage:
        """Move all modules, in place."""
        for module in (self.unet, self.vae, self.text_encoder, self.text_encoder_2):
            module.to(device)
        return self

    def with_unet(self, unet: UNet2DConditionModel) -> TextToImage:
        """The same model around another UNet."""
        return replace(self, unet=unet)

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> None:
        """Write a folder that `StableDiffusionXLPipeline.from_pretrained` opens (safetensors)."""
        from diffusers import StableDiffusionXLPipeline

        if getattr(self.unet, "peft_config", None):
            raise ValueError("the UNet carries a LoRA: save that with save_lora")
        modules = {
            # torch's own `to`: the one of diffusers warns about layers kept in float32, of none.
            name: module if module.dtype == dtype else nn.Module.to(copy.deepcopy(module), dtype)
            for name, module in (
                ("unet", self.unet),
                ("vae", self.vae),
                ("text_encoder", self.text_encoder),
                ("text_encoder_2", self.text_encoder_2),
            )
        }
        pipeline = StableDiffusionXLPipeline(
            **modules,
            tokenizer=self.tokenizer,
            tokenizer_2=self.tokenizer_2,
            scheduler=self.scheduler,
            add_watermarker=False,
        )
        with _no_progress_bars():
            pipeline.save_pretrained(folder, safe_serialization=True)
        _forget_origin(Path(folder))
        for name in ("tokenizer", "tokenizer_2"):
            # The classic vocab.json and merges.txt beside tokenizer.json, for older readers.
            getattr(self, name).backend_tokenizer.model.save(str(Path(folder) / name))
        for name in ("text_encoder", "text_encoder_2"):
            _declare_float32(Path(folder) / name / "config.json")


def load_model(
    uri: str, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> TextToImage:
    """Open the shipped small model ("small"), a diffusers SDXL folder, or a storage URI.

    A name of the form owner/model that is no folder is looked up in the local Hugging Face cache
    or downloaded. The VAE stays in float32: SDXL's overflows in float16.
    """
    location = _locate(uri)
    try:
        return _load(location, uri, dtype).to(device)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"cannot load a model from {uri}: expected a diffusers SDXL folder with safetensors "
            f"weights, or 'small' ({reason})"
        ) from error
    except httpx2.HTTPError as error:
        # Of a hub that is out of reach its library says so itself, but for one that is silent.
        raise UserError(
            f"the hub does not answer while {uri} is opened ({error}): try again, or set "
            "HF_HUB_OFFLINE=1 where it has been downloaded before"
        ) from error


def _load(location: str, uri: str, dtype: torch.dtype) -> TextToImage:
    with _no_progress_bars():
        scheduler_config = DDPMScheduler.load_config(location, subfolder="scheduler")
        settings = scheduler_settings(scheduler_config, source=f"the scheduler of {uri}")
        model = TextToImage(
            unet=_part(UNet2DConditionModel, location, "unet", torch_dtype=dtype),
            vae=_part(AutoencoderKL, location, "vae", torch_dtype=torch.float32),
            text_encoder=_part(CLIPTextModel, location, "text_encoder", dtype=dtype),
            text_encoder_2=_part(
                CLIPTextModelWithProjection, location, "text_encoder_2", dtype=dtype
            ),
            tokenizer=CLIPTokenizer.from_pretrained(location, subfolder="tokenizer"),
            tokenizer_2=CLIPTokenizer.from_pretrained(location, subfolder="tokenizer_2"),
            scheduler=DDPMScheduler(**settings),
        )
    for module in (model.unet, model.vae, model.text_encoder, model.text_encoder_2):
        module.eval().requires_grad_(False)
    return model


def _part(kind: Any, location: str, subfolder: str, **options: Any) -> Any:
    return kind.from_pretrained(location, subfolder=subfolder, use_safetensors=True, **options)


def _forget_origin(folder: Path) -> None:
    """Remove the path that a part was loaded from: equal models are equal files on any machine."""
    for file in folder.rglob("*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Loading takes a second; two libraries would draw six bars for it."""
    libraries = [diffusers_logging, transformers_logging]
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


def _declare_float32(config: Path) -> None:
    """Have float16 text encoders open as float32, as all other parts do, unless asked otherwise."""
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"dtype": "float32"}, indent=2) + "\n")


def _locate(uri: str) -> str:
    if uri == "small":
        return str(SMALL_MODEL)
    if "://" in uri:
        from components.core.platform.storage import local_path

        return str(local_path(uri))
    return uri
