"""Where training runs, decided before DeepSpeed is imported, which looks for devices then."""

from __future__ import annotations

import gc
import os

import torch


def compute_device(wanted: str) -> str:
    """Return "cuda" or "cpu" for a configured "auto", "cpu" or "cuda"."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def announce_device(wanted: str) -> None:
    """Tell DeepSpeed to use the CPU, if that is the device, instead of searching with warnings."""
    if compute_device(wanted) == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"


def free_memory() -> None:
    """Give back what objects that are gone had of a GPU's memory."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
