"""What an interrupted DDPO run needs to end as if nothing had happened.

Weights of the adapter, AdamW's moments, the per-prompt rewards and the history so far. There is no
random state to store: every epoch derives its own seeds from the recipe's seed and its number.
A checkpoint is written beside the last one and renamed, so a kill at any moment leaves one whole.
Tensors are safetensors, the rest is JSON; nothing is pickled.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

_PREFIX = "checkpoint-"


@dataclass
class Progress:
    """How far a run has come: finished epochs, the history rows and the per-prompt rewards."""

    epoch: int
    history: list[dict[str, Any]]
    statistics: dict[str, list[float]]


def save_checkpoint(
    folder: Path,
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write `folder/checkpoint-<epoch>` atomically, then remove the older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{_PREFIX}{progress.epoch:05d}"
    partial = folder / f".{target.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    tensors: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        tensors[f"weight/{name}"] = parameter.detach().cpu().contiguous()
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer/{key}/{name}"] = value.detach().cpu().contiguous()
    save_file(tensors, partial / "tensors.safetensors")
    (partial / "progress.json").write_text(json.dumps(vars(progress)), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)
    for old in _checkpoints(folder)[:-1]:
        shutil.rmtree(old)


def load_checkpoint(
    folder: Path,
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> Progress | None:
    """Restore the newest checkpoint into `parameters` and `optimizer`; None if there is none."""
    found = _checkpoints(folder)
    if not found:
        return None
    tensors = load_file(found[-1] / "tensors.safetensors")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"weight/{name}"])
    for key, tensor in tensors.items():
        kind, _, rest = key.partition("/")
        if kind == "optimizer":
            moment, _, name = rest.partition("/")
            parameter = parameters[name]
            # AdamW keeps its step count on the CPU, the moments beside the weights.
            place = "cpu" if moment == "step" else parameter.device
            optimizer.state[parameter][moment] = tensor.to(place)
    return Progress(**json.loads((found[-1] / "progress.json").read_text(encoding="utf-8")))


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_PREFIX}*"))
