"""The linear realism score."""

from pathlib import Path

import numpy as np
import pytest

from components.core.errors import UserError
from components.core.realism.scorer import LinearScorer

SCORER = LinearScorer(np.array([1.0, -2.0], np.float32), 0.5)


def test_score_is_linear_and_probability_its_sigmoid() -> None:
    features = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    np.testing.assert_allclose(SCORER(features), [1.5, -1.5, 0.5])
    probability = SCORER.probability(features)
    np.testing.assert_allclose(np.log(probability / (1 - probability)), SCORER(features), rtol=1e-4)


def test_round_trip(tmp_path: Path) -> None:
    SCORER.save(tmp_path / "reward")
    again = LinearScorer.load(tmp_path / "reward")
    np.testing.assert_array_equal(again.weight, SCORER.weight)
    assert again.bias == SCORER.bias


def test_wrong_width_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        SCORER(np.zeros((1, 3), np.float32))
    with pytest.raises(UserError, match=r"scorer\.safetensors"):
        LinearScorer.load(tmp_path)
