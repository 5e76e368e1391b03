"""The photographs that a run's samples are scored beside: those that its reward never saw.

A linear reward fits its own training images a little; scored beside them, samples would look
further from real than they are (the paper's Fig. 5 and 8 are of test sets).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.core.errors import UserError
from components.core.platform.seeds import derive_seed
from components.core.realism.clip import ClipFeatures
from components.core.realism.reward import TEST_PHOTOGRAPHS
from components.core.realism.scorer import LinearScorer

UNSEEN = "The photographs are of the test split: no scorer was trained on them."
UNKNOWN = (
    "This reward does not say which photographs it was trained on: these include some, and their "
    "scores may be too good."
)


@dataclass(frozen=True)
class Photographs:
    """Scored photographs: images (N, h, w, 3), their features (N, D) and rewards (N,)."""

    images: npt.NDArray[np.uint8]
    features: npt.NDArray[np.floating]
    scores: npt.NDArray[np.floating]
    note: str = UNKNOWN
    """Whether the reward was trained on them, for the page."""


def score_photographs(
    photographs: Path,
    reward: Path,
    features: ClipFeatures,
    scorer: LinearScorer,
    *,
    at_most: int,
    seed: int,
) -> Photographs:
    """At most so many photographs, drawn at random, of the test split of the artifact `reward`."""
    images = np.load(photographs / "images.npy", mmap_mode="r", allow_pickle=False)
    pool: npt.NDArray[np.integer] = np.arange(len(images))
    note = UNKNOWN
    file = reward / TEST_PHOTOGRAPHS
    if file.is_file():
        pool, note = np.array(json.loads(file.read_text("utf-8")), np.int64), UNSEEN
        if not len(pool) or pool.max() >= len(images):
            raise UserError(
                f"{file} names photographs that {photographs} does not hold: give the photographs "
                "that this reward was trained with"
            )
    rng = np.random.default_rng(derive_seed(seed, "evaluation", "photographs"))
    count = min(at_most, len(pool))
    chosen = np.sort(rng.choice(pool, size=count, replace=False))
    drawn = np.ascontiguousarray(images[chosen])
    found = features.images(drawn)
    return Photographs(drawn, found, np.asarray(scorer(found)), note)
