"""Checkpoints of a DeepSpeed engine as safetensors, complete or invisible.

DeepSpeed knows what each rank has to write (with ZeRO every rank its own shard), but pickles it.
`SafetensorsCheckpoints` keeps DeepSpeed's logic and replaces the file format: tensors go to a
safetensors file whose header holds the rest as JSON. A checkpoint counts once `newest.json` names
it, which is renamed into place last; killing the process at any moment leaves the one before.
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
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

NEWEST = "newest.json"
_PLAIN = (str, int, float, bool, type(None))


class SafetensorsCheckpoints(CheckpointEngine):
    """DeepSpeed's checkpoint reader and writer without pickle."""

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
        return decode(structure, tensors)

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


def save_checkpoint(engine: Any, folder: Path, step: int, extra: dict[str, Any]) -> None:
    """Write the state after `step` steps (all ranks call this), then drop older checkpoints."""
    tag = f"step-{step:07d}"
    engine.save_checkpoint(str(folder), tag=tag, client_state=extra, save_latest=False)
    if torch.distributed.get_world_size() > 1:
        torch.distributed.barrier()
    if engine.global_rank == 0:
        publish(folder, tag, step)


def publish(folder: Path, tag: str, step: int) -> None:
    """Make the checkpoint `tag` the newest one and remove all others."""
    for file in (folder / tag).iterdir():
        with file.open("rb") as written:
            os.fsync(written.fileno())
    partial = folder / f".{NEWEST}.partial"
    partial.write_text(json.dumps({"tag": tag, "step": step}))
    partial.rename(folder / NEWEST)
    for other in folder.glob("step-*"):
        if other.name != tag:
            shutil.rmtree(other)


def load_checkpoint(engine: Any, folder: Path) -> tuple[int, dict[str, Any]]:
    """Restore the newest checkpoint: finished steps and the extra state; (0, {}) without one."""
    if not (folder / NEWEST).exists():
        return 0, {}
    newest = json.loads((folder / NEWEST).read_text())
    _, extra = engine.load_checkpoint(str(folder), tag=newest["tag"])
    return int(newest["step"]), dict(extra)
