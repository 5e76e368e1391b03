"""What a cache of latents and embeddings was computed from, as one hash.

A cache is used again only where the VAE, the text encoders, the grids and the augmentation are the
same; the UNet and everything about training may change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from components.core.diffusion.model import TextToImage
from components.core.platform.artifacts import hash_text, read_manifest
from components.sdxl_finetune.config import Config

FORMAT = 2
"""Of the cache's files; another number makes every cache anew."""
AUGMENTATION = {"seed", "variants_per_grid", "rolls", "flips", "quarter_turns", "enlargement"}
_SENTENCES = ["", "a quick brown fox jumps over the lazy dog, wet red clay & 2 mm zinc"]
"""Tell apart tokenizers: every letter, punctuation, padding."""
_SAMPLED = 64
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def cache_key(dataset: Sequence[Path], model: TextToImage, config: Config) -> str:
    """The hash; reads every weight once, and of the data only what its manifests say."""
    parts = {
        "format": FORMAT,
        "data": [read_manifest(folder).content_hash for folder in dataset],
        "vae": module_hash(model.vae, dict(model.vae.config)),
        "text": [
            module_hash(model.text_encoder, model.text_encoder.config.to_dict()),
            module_hash(model.text_encoder_2, model.text_encoder_2.config.to_dict()),
        ],
        "tokens": [ids.tolist() for ids in model.tokenize(_SENTENCES)],
        "image_size": model.image_size,
        "augmentation": config.model_dump(include=AUGMENTATION),
    }
    return hash_text(json.dumps(parts, sort_keys=True, default=str))


def module_hash(module: nn.Module, settings: dict[str, object]) -> str:
    """Configuration, names, shapes, types and numbers of a network, hashed.

    Cryptographic hashing of gigabytes takes longer than a warm start may: every number enters by
    sums over its bits, and some by themselves.
    """
    kept = {k: v for k, v in settings.items() if not k.startswith("_") and k not in _WHERE}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode())
    for name, value in module.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype} ".encode())
        digest.update(repr(_numbers(value)).encode())
    return digest.hexdigest()


_WHERE = frozenset({"dtype", "torch_dtype", "transformers_version", "architectures"})
"""What depends on the loader and not on the model."""


def _numbers(value: Tensor) -> list[int]:
    words = value.detach().contiguous().flatten().view(_WORDS[value.element_size()])
    if not len(words):
        return []
    sample = words[:: max(1, len(words) // _SAMPLED)].tolist()
    return [int(words.sum(dtype=torch.int64)), int(words[::2].sum(dtype=torch.int64)), *sample]
