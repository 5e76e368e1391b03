"""Principal components of 8×8 patches: what the small autoencoder's latents are made to be.

An autoencoder trained from nothing for an hour of CPU time loses colour and detail. The linear
optimum is known in closed form: 16 components of the 192 numbers in a patch keep 97 % of the
variance. The encoder is therefore taught to output them, the decoder to invert them (and to add
what they lost), and the denoiser can learn on exact latents before either is finished.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

PATCH = 8
SPREAD = 0.35
"""Exponent on each component's standard deviation: 0 whitens (fine detail then weighs as much as
brightness, and the denoiser wastes itself on it), 1 keeps the proportions (detail then drowns)."""


@dataclass(frozen=True)
class PatchBasis:
    """mean (192,), vectors (192, C) with orthonormal columns, scale (C,) for unit mean variance."""

    mean: Tensor
    vectors: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, images_nhwc: NDArray[np.uint8], channels: int) -> PatchBasis:
        """Components of largest variance over all patches of the images."""
        patches = _patches(torch.from_numpy(images_nhwc).float() / 255.0).flatten(0, 2).double()
        mean = patches.mean(0)
        variances, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
        order = torch.argsort(variances, descending=True)[:channels]
        # Directions without variance (few images) keep a finite scale.
        deviations = variances[order].clamp(min=1e-6).sqrt()
        target = deviations**SPREAD
        target = target / target.square().mean().sqrt()
        # The sign of an eigenvector is arbitrary: fixed here, so that a refit gives the same basis.
        chosen = vectors[:, order]
        signs = torch.sign(chosen.sum(0) + 1e-9 * chosen[0])
        return cls(mean.float(), (chosen * signs).float(), (target / deviations).float())

    @classmethod
    def once(cls, path: Path, images_nhwc: NDArray[np.uint8], channels: int) -> PatchBasis:
        """The basis in `path`, which all parts share; fitted and written there when missing."""
        if not path.exists():
            beside = path.with_suffix(f".{os.getpid()}.tmp")
            save_file(vars(cls.fit(images_nhwc, channels)), beside)
            beside.rename(path)
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> PatchBasis:
        """The basis saved in `path`."""
        return cls(**load_file(path))

    def encode(self, images_bhwc: Tensor) -> Tensor:
        """Images (B, H, W, 3) in [0, 1] to latents (B, C, H/8, W/8)."""
        coefficients = (_patches(images_bhwc) - self.mean) @ self.vectors * self.scale
        return coefficients.permute(0, 3, 1, 2).contiguous()

    def decode(self, latents_bchw: Tensor) -> Tensor:
        """The linear inverse: images (B, H, W, 3), not clipped."""
        coefficients = latents_bchw.permute(0, 2, 3, 1) / self.scale
        patches = coefficients @ self.vectors.T + self.mean
        batch, rows, columns, _ = patches.shape
        split = patches.reshape(batch, rows, columns, PATCH, PATCH, 3).permute(0, 1, 3, 2, 4, 5)
        return split.reshape(batch, rows * PATCH, columns * PATCH, 3)


def _patches(images_bhwc: Tensor) -> Tensor:
    """(B, H, W, 3) in [0, 1] to (B, H/8, W/8, 192) in [-1, 1]."""
    batch, rows, columns, _ = images_bhwc.shape
    split = images_bhwc.reshape(batch, rows // PATCH, PATCH, columns // PATCH, PATCH, 3)
    return split.permute(0, 1, 3, 2, 4, 5).flatten(3) * 2.0 - 1.0
