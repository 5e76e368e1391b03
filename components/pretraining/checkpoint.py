"""Checkpoints of a module and its AdamW state as one safetensors file, replaced atomically."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn


def store(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write the module, the optimizer's moments and the step count to `path`."""
    tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    tensors["step"] = torch.tensor(step)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    save_file(
        {name: value.detach().contiguous().clone() for name, value in tensors.items()}, beside
    )
    beside.rename(path)


def restore(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load what `store` wrote, if it is there; returns the number of finished steps."""
    if not path.exists():
        return 0
    tensors = load_file(path)
    prefix = "module."
    module.load_state_dict(
        {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
    )
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    return int(tensors["step"])
