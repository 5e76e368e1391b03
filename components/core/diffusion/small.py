"""An untrained small SDXL: the same classes and conditioning, a few million parameters.

Everything that makes SDXL what it is stays: two CLIP text encoders (penultimate hidden states
concatenated, the second one's projection pooled), text_time conditioning with six size numbers,
an AutoencoderKL with f = 8, linear projections. Only the widths differ.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from components.core.diffusion.model import TextToImage
from components.core.diffusion.schedule import SCHEDULER_SETTINGS

START, END = "<|startoftext|>", "<|endoftext|>"


@dataclass(frozen=True)
class SmallConfig:
    """Sizes of the small model; the defaults are the shipped one's, `micro()` is for tests."""

    image_size: int = 128
    unet_channels: tuple[int, ...] = (80, 152)
    unet_layers: int = 2
    unet_head_dim: int = 32
    unet_norm_groups: int = 8
    unet_time_dim: int = 256
    vae_channels: tuple[int, ...] = (16, 32, 64, 80)
    vae_layers: int = 1
    latent_channels: int = 16
    text_hidden: int = 64
    text_layers: int = 2
    text_heads: int = 4
    text_tokens: int = 32
    vocabulary: int = 1024

    @classmethod
    def micro(cls) -> SmallConfig:
        """The smallest model that still has every part: for tests."""
        return cls(
            image_size=32,
            unet_channels=(16, 32),
            unet_layers=1,
            unet_head_dim=8,
            unet_norm_groups=8,
            unet_time_dim=32,
            vae_channels=(8, 8, 16, 16),
            latent_channels=8,
            text_hidden=16,
            text_heads=2,
            text_tokens=16,
            vocabulary=600,
        )


def build_small(
    captions: Sequence[str], config: SmallConfig | None = None, seed: int = 0
) -> TextToImage:
    """Build the model with random weights; its vocabulary is trained on `captions`."""
    config = config or SmallConfig()
    vocabulary, merges = train_vocabulary(captions, config.vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TextToImage(
            unet=_unet(config),
            vae=_vae(config),
            text_encoder=CLIPTextModel(_text_config(config, vocabulary, END)),
            text_encoder_2=CLIPTextModelWithProjection(_text_config(config, vocabulary, "!")),
            tokenizer=_tokenizer(config, vocabulary, merges, END),
            # SDXL pads the second encoder's prompts with "!", token 0.
            tokenizer_2=_tokenizer(config, vocabulary, merges, "!"),
            scheduler=DDPMScheduler(**SCHEDULER_SETTINGS),
        )


def parameter_count(module: torch.nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def train_vocabulary(
    captions: Sequence[str], size: int
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Byte-level BPE in CLIP's layout: bytes, bytes ending a word, merges, start, end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if size < 2 * len(alphabet) + 2:
        raise ValueError(f"a byte-level vocabulary needs at least {2 * len(alphabet) + 2} tokens")
    rules = CLIPTokenizer().backend_tokenizer  # CLIP's normalizer and word splitting
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    bpe.normalizer, bpe.pre_tokenizer = rules.normalizer, rules.pre_tokenizer
    single = [*alphabet, *(byte + "</w>" for byte in alphabet)]
    trainer = trainers.BpeTrainer(
        vocab_size=size - 2,
        end_of_word_suffix="</w>",
        show_progress=False,
        # Listed here they are numbered in this order; left to the trainer, the ones that end a
        # word are numbered at random, and pairs of equal count are then merged in random order.
        special_tokens=single,
    )
    bpe.train_from_iterator(captions, trainer)
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    merges = merges[: size - 2 - 2 * len(alphabet)]
    unique = dict.fromkeys([*single, *(a + b for a, b in merges), START, END])
    return {token: index for index, token in enumerate(unique)}, merges


def _tokenizer(
    config: SmallConfig, vocabulary: dict[str, int], merges: list[tuple[str, str]], pad: str
) -> CLIPTokenizer:
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=pad,
        model_max_length=config.text_tokens,
    )


def _text_config(config: SmallConfig, vocabulary: dict[str, int], pad: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=config.text_hidden,
        intermediate_size=4 * config.text_hidden,
        projection_dim=config.text_hidden,
        num_hidden_layers=config.text_layers,
        num_attention_heads=config.text_heads,
        max_position_embeddings=config.text_tokens,
        hidden_act="quick_gelu" if pad == END else "gelu",
        bos_token_id=vocabulary[START],
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[pad],
    )


def _unet(config: SmallConfig) -> UNet2DConditionModel:
    levels = len(config.unet_channels)
    latent_side = config.image_size // 2 ** (len(config.vae_channels) - 1)
    size_dim = 32  # each of the six numbers becomes a sinusoidal embedding of this width
    return UNet2DConditionModel(
        sample_size=latent_side,
        in_channels=config.latent_channels,
        out_channels=config.latent_channels,
        block_out_channels=config.unet_channels,
        layers_per_block=config.unet_layers,
        # As in SDXL, the finest level has no attention.
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (levels - 1),
        up_block_types=("CrossAttnUpBlock2D",) * (levels - 1) + ("UpBlock2D",),
        transformer_layers_per_block=1,
        # In diffusers this argument is the number of heads, a historical misnomer.
        attention_head_dim=tuple(c // config.unet_head_dim for c in config.unet_channels),
        norm_num_groups=config.unet_norm_groups,
        use_linear_projection=True,
        cross_attention_dim=2 * config.text_hidden,
        time_embedding_dim=config.unet_time_dim,
        addition_embed_type="text_time",
        addition_time_embed_dim=size_dim,
        projection_class_embeddings_input_dim=6 * size_dim + config.text_hidden,
    )


def _vae(config: SmallConfig) -> AutoencoderKL:
    levels = len(config.vae_channels)
    return AutoencoderKL(
        block_out_channels=config.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=config.vae_layers,
        latent_channels=config.latent_channels,
        # Few groups: normalising few channels together, each of its own, would erase colour.
        norm_num_groups=4,
        sample_size=config.image_size,
        scaling_factor=1.0,
        force_upcast=False,
    )
