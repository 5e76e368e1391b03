"""A CLIP model written into a folder, for machines that cannot fetch it, such as the demo's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

from components.core.errors import UserError
from components.core.realism.clip import ClipFeatures, open_clip_name, uses_quick_gelu
from components.core.realism.small import CONFIG_FILE, WEIGHTS_FILE

SHIPPED = "small"
_TEXT = "a photo of old, red brick-work"


def keep_clip(uri: str, folder: Path, fingerprint: str = "") -> bool:
    """Write the model `uri` so that `ClipFeatures.load(folder)` gives the same features to the last
    bit; False, and nothing, for the model that every installation has.

    fingerprint: of its weights, that it must have, if known; UserError for another.
    """
    if uri == SHIPPED:
        return False
    clip = ClipFeatures.load(uri)
    if fingerprint and clip.fingerprint != fingerprint:
        raise UserError(
            f"The CLIP model {uri!r} has other weights than the one that the reward was trained "
            "on: give that one, or train the reward again."
        )
    folder.mkdir(parents=True)
    weights = {name: _smallest(value) for name, value in clip.model.state_dict().items()}
    save_file(weights, folder / WEIGHTS_FILE)
    config = {
        "model_cfg": _architecture(uri),
        "preprocess_cfg": dict(clip.model.visual.preprocess_cfg),
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer: Any = clip.tokenizer
    if isinstance(tokenizer, open_clip.tokenizer.HFTokenizer):
        tokenizer.tokenizer.save_pretrained(folder)
    kept = open_clip.get_tokenizer(f"local-dir:{folder}")
    if not torch.equal(kept([_TEXT]), tokenizer([_TEXT])):
        raise UserError(
            f"CLIP model {uri!r} has a tokenizer that open_clip finds by the model's name alone: "
            "give the same model as hf-hub:OWNER/NAME."
        )
    return True


def _architecture(uri: str) -> dict[str, Any]:
    """What open_clip builds the model from."""
    name, pretrained = open_clip_name(uri)
    config: dict[str, Any] = open_clip.get_model_config(name)
    return {**config, "quick_gelu": True} if uses_quick_gelu(name, pretrained) else config


def _smallest(value: torch.Tensor) -> torch.Tensor:
    """In half the bytes if no bit is lost: OpenAI published most of theirs in float16."""
    value = value.detach().cpu().contiguous()
    half = value.half()
    return half if value.dtype == torch.float32 and torch.equal(half.float(), value) else value
