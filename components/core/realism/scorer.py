"""The linear realism score: one weight per CLIP feature and a bias (paper, section 4.3).

The same architecture serves the realism classifiers (with a sigmoid behind it) and the reward
(without one).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from components.core.errors import UserError

FILE = "scorer.safetensors"


@dataclass(frozen=True)
class LinearScorer:
    """score = features · weight + bias; weight: (D,) float32."""

    weight: NDArray[np.float32]
    bias: float

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (N,) of unit CLIP features (N, D)."""
        if features.ndim != 2 or features.shape[1] != len(self.weight):
            raise ValueError(f"expected features (N, {len(self.weight)}), not {features.shape}")
        return (features @ self.weight + np.float32(self.bias)).astype(np.float32)

    def probability(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sigmoid of the score (N,), for a scorer that was trained as a classifier."""
        return (1.0 / (1.0 + np.exp(-self(features).clip(-60, 60)))).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the scorer as safetensors into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            "weight": np.ascontiguousarray(self.weight, dtype=np.float32),
            "bias": np.array([self.bias], dtype=np.float32),
        }
        save_file(tensors, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> LinearScorer:
        """Read a folder written by `save`."""
        try:
            tensors = load_file(folder / FILE)
            return cls(weight=tensors["weight"], bias=float(tensors["bias"][0]))
        except (OSError, SafetensorError, KeyError, IndexError) as error:
            raise UserError(
                f"{folder / FILE} is missing or unreadable ({error}); expected a realism scorer "
                "as reward_training writes it"
            ) from error
