"""What an interrupted DDPO run needs to end as if nothing had happened.

Weights of the adapter, AdamW's moments, the per-prompt rewards, the history so far and what the
safeguards remember. There is no random state to store, of no process: every epoch derives its own
seeds from the recipe's seed and its number.
A checkpoint is written beside the last one and renamed, so a kill at any moment leaves one whole.
Tensors are safetensors, the rest is JSON; nothing is pickled.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from components.core.errors import UserError

_PREFIX = "checkpoint-"
_BEST = "best.safetensors"
_OF_ANOTHER = (
    "of another base model or rank: remove it to start again, or give the model that it was begun "
    "with"
)


@dataclass
class Progress:
    """How far a run has come: finished epochs, the history rows and the per-prompt rewards.

    steps: optimizer steps taken; base: hash of the UNet below the adapter ("": not known); norms
    and stopping: the states of the gradient safeguard and of the early stop; heldout_start: the
    scores, by scorer, that later held-out measurements are compared with.
    """

    epoch: int
    history: list[dict[str, Any]]
    statistics: dict[str, list[float]]
    norms: list[float] = field(default_factory=list)
    stopping: dict[str, Any] = field(default_factory=dict)
    heldout_start: dict[str, list[float]] = field(default_factory=dict)
    steps: int = 0
    base: str = ""


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
    base: str = "",
) -> Progress | None:
    """Restore the newest checkpoint into `parameters` and `optimizer`; None if there is none.

    base: hash of the UNet below the adapter; UserError if the checkpoint's is another.
    """
    found = _checkpoints(folder)
    if not found:
        return None
    tensors = load_file(found[-1] / "tensors.safetensors")
    progress = Progress(**json.loads((found[-1] / "progress.json").read_text(encoding="utf-8")))
    _check(found[-1], tensors, parameters)
    if base and progress.base and base != progress.base:
        raise UserError(f"{found[-1]} belongs to the adapter {_OF_ANOTHER}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"weight/{name}"])
    for key, tensor in tensors.items():
        kind, _, rest = key.partition("/")
        if kind == "optimizer":
            moment, _, name = rest.partition("/")
            parameter = parameters[name]
            # The moments lie beside the weights; AdamW's step count does only if it is fused.
            fused = bool(optimizer.param_groups[0].get("fused"))
            place = parameter.device if moment != "step" or fused else torch.device("cpu")
            optimizer.state[parameter][moment] = tensor.to(place)
    return progress


def save_best(folder: Path, parameters: Mapping[str, torch.nn.Parameter]) -> None:
    """Write `folder/best.safetensors`, the weights to return to, in place of earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{_BEST}.partial"
    save_file({k: p.detach().cpu().contiguous() for k, p in parameters.items()}, partial)
    partial.replace(folder / _BEST)


def load_best(folder: Path, parameters: Mapping[str, torch.nn.Parameter]) -> None:
    """Restore the weights of `save_best`."""
    tensors = load_file(folder / _BEST)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def _check(
    checkpoint: Path, tensors: Mapping[str, Tensor], parameters: Mapping[str, torch.nn.Parameter]
) -> None:
    """UserError unless the checkpoint holds an adapter of the same shape."""
    kept = {k.removeprefix("weight/"): v.shape for k, v in tensors.items() if k[:7] == "weight/"}
    if kept != {name: parameter.shape for name, parameter in parameters.items()}:
        raise UserError(f"{checkpoint} belongs to the adapter {_OF_ANOTHER}")


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_PREFIX}*"))
