"""Preferences between images as a second kind of label: which of two looked more real to people.

The study exports them (`realmat study export NAME --preferences -o pairs.parquet`). Under the model
of Bradley and Terry, image a is preferred to b with probability sigmoid(scale * (s(a) - s(b))),
and its negative log-likelihood is one more term of the reward's loss beside equation 5.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from components.core.errors import UserError
from components.core.platform.progress import track
from components.core.platform.seeds import derive_seed
from components.core.platform.storage import local_path
from components.core.realism.clip import ClipFeatures
from components.core.realism.linear import Score

COLUMNS = ("pair", "preferred_image", "other_image")
GOLD, TEST = 0.3, 0.2
"""Shares of the pairs for the gold scorer and for measuring."""


@dataclass(frozen=True)
class Preferences:
    """Features (P, D) of the preferred images and of the others, and each pair's split (P,)."""

    preferred: NDArray[np.float32]
    other: NDArray[np.float32]
    split: NDArray[np.str_]

    def of(self, split: str) -> Preferences:
        """Those of one split."""
        rows = self.split == split
        return Preferences(self.preferred[rows], self.other[rows], self.split[rows])

    def __len__(self) -> int:
        return len(self.split)


def read_preferences(uri: str, clip: ClipFeatures, seed: int) -> Preferences:
    """The pairs in a table with the columns of `COLUMNS`; the images are those of a file each.

    All votes on one pair of images fall into the same split.
    """
    table = check_table(uri).to_pydict()
    if not table["pair"]:
        raise UserError(f"{uri} holds no preference: collect votes first.")
    files = [*table["preferred_image"], *table["other_image"]]
    features = _features(uri, files, clip)
    count = len(table["pair"])
    splits = np.array([_split(str(pair), seed) for pair in table["pair"]])
    return Preferences(features[:count], features[count:], splits)


def check_table(uri: str) -> pa.Table:
    """The columns of `COLUMNS`; UserError if the file is no such table."""
    try:
        return pq.read_table(local_path(uri), columns=list(COLUMNS))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(
            f"{uri} is no table of preferences with images ({type(error).__name__}): write one "
            "with `realmat study export NAME --preferences -o pairs.parquet`."
        ) from error


def bradley_terry(
    score: Score, preferred_bd: torch.Tensor, other_bd: torch.Tensor, scale: float
) -> torch.Tensor:
    """Mean negative log-likelihood of the preferences (scalar)."""
    return -F.logsigmoid(scale * (score(preferred_bd) - score(other_bd))).mean()


def accuracy(preferred: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Share of the pairs whose preferred image has the higher score (P,); ties count half."""
    return float(np.mean((preferred > other) + 0.5 * (preferred == other)))


def _features(uri: str, files: Sequence[bytes], clip: ClipFeatures) -> NDArray[np.float32]:
    """Features of image files, each different one embedded once."""
    names = [hashlib.blake2b(file, digest_size=16).hexdigest() for file in files]
    different = dict(zip(names, files, strict=True))
    found = {
        name: clip.images(_image(uri, file)[None])[0]
        for name, file in track(different.items(), "embedding preferences", len(different))
    }
    return np.stack([found[name] for name in names])


def _image(uri: str, file: bytes) -> NDArray[np.uint8]:
    try:
        return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{uri} holds an image that cannot be read: export it anew.") from error


def _split(pair: str, seed: int) -> str:
    position = derive_seed(seed, "preferences", pair) / 2**32
    if position < TEST:
        return "test"
    return "gold" if position < TEST + GOLD else "reward"
