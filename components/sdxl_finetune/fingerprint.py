"""What a checkpoint belongs to: model, data, division among processes, settings.

Loaded into anything else a checkpoint would fail with a message about tensor shapes at best, and
at worst train on as if nothing had happened.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from torch import nn

from components.core.errors import UserError
from components.sdxl_finetune.config import Config

FINGERPRINT = "fingerprint.json"
SAMPLED = 16
UNCHECKED = (Config.MAY_CHANGE - {"zero_stage"}) | {"base_model"}
"""ZeRO's stages write different files; the model is told by its numbers, wherever it lies."""


def fingerprint(config: Config, unet: nn.Module, items: int) -> dict[str, Any]:
    """Describes a training before its engine starts, while every parameter is whole.

    items: number of items in the training cache.
    """
    settings = config.model_dump(mode="json", exclude=set(UNCHECKED))
    return {
        "model": model_hash(unet),
        "items": items,
        "processes": config.world_size,
        "settings": settings,
    }


def model_hash(unet: nn.Module) -> str:
    """Names, shapes and the first few numbers of every parameter, hashed."""
    digest = hashlib.sha256()
    for name, parameter in unet.named_parameters():
        first = parameter.detach().flatten()[:SAMPLED].float().cpu().numpy()
        digest.update(f"{name} {tuple(parameter.shape)} ".encode() + first.tobytes())
    return digest.hexdigest()


def write_fingerprint(folder: Path, values: dict[str, Any]) -> None:
    """Lay it beside a checkpoint's files."""
    (folder / FINGERPRINT).write_text(json.dumps(values, indent=2), encoding="utf-8")


def check_fingerprint(checkpoint: Path, expected: dict[str, Any]) -> None:
    """UserError unless the checkpoint was made by the same training."""
    file = checkpoint / FINGERPRINT
    if not file.exists():
        raise UserError(
            f"{checkpoint} does not say what it belongs to ({FINGERPRINT} is missing): remove it "
            "to continue from the one before, or to start again"
        )
    found = json.loads(file.read_text(encoding="utf-8"))
    again = f"or remove {checkpoint.parent} to start again"
    if found["model"] != expected["model"]:
        raise UserError(
            f"{checkpoint} belongs to another base model: give the one that it was begun with, "
            f"{again}"
        )
    for key, what in (("processes", "processes"), ("items", "grids in the training cache")):
        if found[key] != expected[key]:
            raise UserError(
                f"{checkpoint} was written with {found[key]} {what}, but now there are "
                f"{expected[key]}: use as many as before, {again}"
            )
    old, new = found["settings"], expected["settings"]
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if changed:
        what = ", ".join(f"{key} was {old.get(key)} and is {new.get(key)}" for key in changed)
        raise UserError(
            f"{checkpoint} belongs to another configuration ({what}): set it as before, {again}"
        )
