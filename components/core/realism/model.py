"""The realism reward as a model of its own: images in, scores out.

It lies in a folder, whoever opens it (`realmat score`, MLflow, the demo):

    reward/            the linear scorer
    gold/              the scorer that it is checked with, trained on other data
    clip.json          {"uri", "weights"}: the CLIP model whose features it reads, and their hash
    clip/              that model, unless it is the shipped small one

The artifact of `reward_training`, a registered reward and a registered material model are such
folders; the last keeps the name of its CLIP model in `generator.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.core.errors import NoScorer, UserError
from components.core.materials.photos import decode_photo
from components.core.realism.clip import ClipFeatures
from components.core.realism.identity import CLIP_FILE, read_clip
from components.core.realism.reward import GOLD
from components.core.realism.scorer import LinearScorer

ARTIFACT = "reward"
"""Name of the folder among the artifacts of a registered reward; its card lies in it too."""
CARD = "card.md"
SIZE = 256
"""Side in pixels at which images are read; CLIP brings them to its own size."""
CLIP = "clip"
"""Name of the folder with the CLIP model itself, so that nothing has to be fetched to score."""
CLIP_NAMES = {CLIP_FILE: "uri", "generator.json": "clip"}
"""Which key of which file names the CLIP model."""


@dataclass(frozen=True)
class RealismModel:
    """What sees (CLIP) and what judges (a linear scorer)."""

    features: ClipFeatures
    scorer: LinearScorer
    gold: LinearScorer | None = None
    """The judge trained on other data, for checks; older models carry none."""

    @classmethod
    def open(cls, folder: Path, device: str = "cpu") -> RealismModel:
        """The reward in a folder; UserError if there is none."""
        if not (folder / ARTIFACT).is_dir():
            raise NoScorer(
                f"the model in {folder} has no realism scorer: give one that `realmat run` "
                "registered, or the artifact of reward_training"
            )
        scorer = LinearScorer.load(folder / ARTIFACT)
        gold = LinearScorer.load(folder / GOLD) if (folder / GOLD).is_dir() else None
        return cls(_clip(folder, device), scorer, gold)

    def __call__(self, images_nhwc: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores (N,) of sRGB images (N, h, w, 3)."""
        return self.scorer(self.features.images(images_nhwc))

    def files(self, contents: Sequence[bytes]) -> NDArray[np.float32]:
        """Scores (N,) of encoded images (PNG, JPEG, ...); UserError if one is unreadable."""
        return self(np.stack([decode_photo(content, SIZE) for content in contents]))


def _clip(folder: Path, device: str) -> ClipFeatures:
    kept = folder / CLIP if (folder / CLIP).is_dir() else None
    for name, key in CLIP_NAMES.items():
        if (folder / name).is_file():
            return read_clip(folder / name, key=key, kept=kept, device=device)
    files = " or ".join(CLIP_NAMES)
    raise UserError(f"{folder} holds no {files}, which names the CLIP model that its scorer reads")
