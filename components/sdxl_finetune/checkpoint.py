"""Checkpoints of a DeepSpeed engine as safetensors, complete or invisible.

DeepSpeed knows what each rank has to write (with ZeRO every rank its own shard), but pickles it.
`SafetensorsCheckpoints` keeps DeepSpeed's logic and replaces the file format: tensors go to a
safetensors file whose header holds the rest as JSON. A checkpoint is written to a hidden folder
which is renamed last; killing the processes at any moment leaves the ones before.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from deepspeed.runtime.checkpoint_engine.checkpoint_engine import (
    CheckpointCommitInfo,
    CheckpointEngine,
)
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from components.core.errors import UserError
from components.sdxl_finetune.fingerprint import check_fingerprint, write_fingerprint

_PREFIX, _PARTIAL = "step-", ".partial"
_PLAIN = (str, int, float, bool, type(None))


class SafetensorsCheckpoints(CheckpointEngine):
    """DeepSpeed's checkpoint reader and writer without pickle.

    scaler: the engine's loss scaler, an object that ZeRO 3 expects in what it loads. It has no
    state of its own in float32 and bfloat16, so the one that the engine was made with goes back.
    """

    def __init__(self, scaler: object = None) -> None:
        self._scaler = scaler

    def create(self, info: CheckpointCommitInfo) -> None:
        """Called by DeepSpeed before a checkpoint; nothing to prepare."""

    def save(self, state_dict: Any, path: str) -> None:
        """Write a nested state; what is neither data nor tensor (code objects) is left out."""
        tensors: dict[str, Tensor] = {}
        structure = encode(state_dict, tensors)
        save_file(tensors, path, metadata={"structure": json.dumps(structure)})

    def load(self, path: str, map_location: Any = None) -> Any:
        """Read a state written by `save`."""
        with safe_open(path, framework="pt") as file:
            structure = json.loads(file.metadata()["structure"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state = decode(structure, tensors)
        if (
            "optimizer_state_dict" in state
            and "dynamic_loss_scale" in state["optimizer_state_dict"]
        ):
            state["optimizer_state_dict"]["loss_scaler"] = self._scaler
        return state

    def commit(self, info: CheckpointCommitInfo) -> bool:
        """Called by DeepSpeed after a checkpoint; `publish` makes it count."""
        return True


def encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A JSON description of nested data; its tensors are collected in `tensors`."""
    if isinstance(value, Tensor):
        name = f"tensor{len(tensors)}"
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        pairs = [[key, encode(item, tensors)] for key, item in value.items() if _is_data(item)]
        return {"dict": [pair for pair in pairs if isinstance(pair[0], str | int)]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [encode(item, tensors) for item in value]}
    return {"value": value if isinstance(value, _PLAIN) else None}


def decode(structure: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `encode`."""
    [(kind, content)] = structure.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: decode(item, tensors) for key, item in content}
    if kind == "value":
        return content
    items = [decode(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


def _is_data(value: Any) -> bool:
    return isinstance(value, (Tensor, dict, list, tuple, *_PLAIN))


def save_checkpoint(
    engine: Any, folder: Path, step: int, extra: dict[str, Any], owner: dict[str, Any], keep: int
) -> None:
    """Write the state after `step` steps; all processes call this. The last `keep` stay.

    owner: see `fingerprint`.
    """
    partial = f".{_PREFIX}{step:07d}{_PARTIAL}"
    if engine.global_rank == 0:
        shutil.rmtree(folder / partial, ignore_errors=True)
    # DeepSpeed itself waits for all processes before the first one writes.
    engine.save_checkpoint(str(folder), tag=partial, client_state=extra, save_latest=False)
    torch.distributed.barrier()
    if engine.global_rank == 0:
        write_fingerprint(folder / partial, owner)
        publish(folder, folder / partial, step, keep)
    torch.distributed.barrier()


def publish(folder: Path, partial: Path, step: int, keep: int) -> None:
    """Give a whole checkpoint its name and remove all but the last `keep`."""
    for path in (*partial.iterdir(), partial):
        sync(path)
    target = folder / f"{_PREFIX}{step:07d}"
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    sync(folder)  # the new name, before older checkpoints go
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)


def sync(path: Path) -> None:
    """Have the system write a file or folder to the disk now."""
    written = os.open(path, os.O_RDONLY)
    os.fsync(written)
    os.close(written)


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints, oldest first."""
    return sorted(folder.glob(f"{_PREFIX}*"))


def steps_of(checkpoint: Path) -> int:
    """How many steps a checkpoint has behind it."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def what_stays(folder: Path) -> str:
    """A clause for error messages: which checkpoint is left."""
    found = checkpoints(folder)
    if not found:
        return "no checkpoint had been written yet"
    return f"the checkpoint of step {steps_of(found[-1])} stays in {folder}"


def remove_partial(folder: Path) -> None:
    """Remove what attempts before have left half written; nobody may be writing."""
    for partial in folder.glob(f".{_PREFIX}*{_PARTIAL}"):
        shutil.rmtree(partial)


def newest_step(folder: Path, device: torch.device | str) -> int:
    """Steps of the newest checkpoint, 0 without one; all processes call this.

    The first process looks for all of them: over a network another one may see an older listing,
    and processes that continue from different steps would train on as if nothing were wrong.
    """
    found = checkpoints(folder) if torch.distributed.get_rank() == 0 else []
    newest = torch.tensor([steps_of(found[-1]) if found else 0], device=device)
    torch.distributed.broadcast(newest, src=0)
    return int(newest.item())


def load_checkpoint(engine: Any, folder: Path, step: int, owner: dict[str, Any]) -> dict[str, Any]:
    """Restore the state after `step` steps; returns what was saved with it as `extra`.

    Raises UserError if it belongs to another training, or is damaged.
    """
    newest = folder / f"{_PREFIX}{step:07d}"
    older = [path for path in checkpoints(folder) if steps_of(path) < step]
    check_fingerprint(newest, owner)
    before = f"continue from {older[-1].name}" if older else "start again"
    try:
        path, extra = engine.load_checkpoint(str(folder), tag=newest.name)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{newest} is damaged ({error}): remove it to {before}") from error
    if path is None:  # DeepSpeed's word for a file that it did not find, which it only logs
        raise UserError(f"{newest} lacks files: remove it to {before}")
    return dict(extra)
