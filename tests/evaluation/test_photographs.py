"""Samples are scored beside photographs that the reward never saw, and the page says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.errors import UserError
from components.core.realism.reward import TEST_PHOTOGRAPHS
from components.core.realism.scorer import LinearScorer
from components.evaluation.photographs import UNKNOWN, UNSEEN, Photographs, score_photographs


class GreyClip:
    """The grey value is the only feature."""

    def images(self, images: Any) -> Any:
        return np.asarray(images)[:, 0, 0, :1].astype(np.float32)


def scored(folder: Path, at_most: int = 100) -> Photographs:
    """Photographs whose grey is their number, scored by it."""
    images = np.arange(6, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    np.save(folder / "images.npy", images)
    scorer = LinearScorer(np.ones(1, np.float32), 0.0)
    features: Any = GreyClip()
    return score_photographs(folder, folder, features, scorer, at_most=at_most, seed=0)


def test_only_the_test_splits_are_scored(tmp_path: Path) -> None:
    (tmp_path / TEST_PHOTOGRAPHS).write_text(json.dumps([4, 1, 3]))
    found = scored(tmp_path)
    assert found.scores.tolist() == [1, 3, 4]
    assert found.note == UNSEEN
    assert set(scored(tmp_path, at_most=2).scores.tolist()) < {1.0, 3.0, 4.0}


def test_a_reward_that_does_not_say_is_told_of(tmp_path: Path) -> None:
    found = scored(tmp_path)
    assert (len(found.scores), found.note) == (6, UNKNOWN)


def test_the_split_of_other_photographs_is_refused(tmp_path: Path) -> None:
    (tmp_path / TEST_PHOTOGRAPHS).write_text(json.dumps([2, 6]))
    with pytest.raises(UserError, match=r"photographs that .* does not hold"):
        scored(tmp_path)
