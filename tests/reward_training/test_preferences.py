"""Preferences of people train the reward, and are read from what the study exports."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from components.core.errors import UserError
from components.core.platform.tracking import NullTracker
from components.core.realism.linear import auc
from components.reward_training.config import Config
from components.reward_training.preferences import (
    Preferences,
    accuracy,
    bradley_terry,
    read_preferences,
)
from components.reward_training.stage import Labelled, train

DIMENSIONS = 16


def unit(count: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def labelled() -> Labelled:
    """Labels that know the first direction only."""
    x = unit(600, 0)
    label = (x[:, 0] > 0).astype(np.int64)
    splits = np.array(["reward", "gold", "test"])[np.arange(600) % 3]
    return Labelled(x, label, label == 1, np.arange(600), splits)


def pairs(slips: float = 0.0) -> Preferences:
    """People prefer the image that lies further along the second direction, but for slips."""
    a, b = unit(900, 1), unit(900, 2)
    first = (a[:, 1] > b[:, 1]) != (np.random.default_rng(3).random(900) < slips)
    splits = np.array(["reward", "gold", "test"])[np.arange(900) % 3]
    better = np.where(first[:, None], a, b)
    return Preferences(better, np.where(first[:, None], b, a), splits)


def test_the_loss_is_the_negative_log_likelihood_of_bradley_and_terry() -> None:
    weight = torch.tensor([1.0, 2.0])
    better, other = torch.tensor([[1.0, 0.5], [0.0, 0.0]]), torch.tensor([[0.0, 0.5], [1.0, 1.0]])
    gaps = np.array([1.0, -3.0])
    expected = np.mean(np.log1p(np.exp(-2.0 * gaps)))
    assert bradley_terry(lambda x: x @ weight, better, other, 2.0).item() == pytest.approx(expected)


def test_votes_teach_what_the_labels_do_not_know() -> None:
    config = Config(steps=300, learning_rate=1e-2, tv_weight=0.0)
    unseen = pairs().of("test")
    found = []
    for given in (None, pairs(slips=0.1)):
        reward = train(config, labelled(), given, "reward", 0.0, "reward", NullTracker())
        found.append(accuracy(reward(unseen.preferred), reward(unseen.other)))
        data = labelled()
        score, rows = reward(data.features), data.split == "test"
        agrees = auc(score[rows & (data.label == 1)], score[rows & (data.label == 0)])
        assert agrees > 0.7  # the labels, which say something else, are not forgotten
    assert found[0] < 0.6
    assert found[1] > 0.7


class MeanColour:
    """Features that are the image's mean colour."""

    def images(self, images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2)).astype(np.float32) / 255


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 0, 255 - value)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_table_is_read_and_votes_on_one_pair_stay_together(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "pair": [f"p{i // 4}" for i in range(200)],
            "preferred_image": [png(200 + i // 4) for i in range(200)],
            "other_image": [png(i // 4) for i in range(200)],
        }
    )
    file = tmp_path / "pairs.parquet"
    table.to_parquet(file)
    found = read_preferences(str(file), MeanColour(), 5)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.preferred[:, 0] * 255, [200 + i // 4 for i in range(200)])
    np.testing.assert_allclose(found.other[:, 0] * 255, [i // 4 for i in range(200)])
    by_pair = table.assign(split=found.split).groupby("pair")["split"].nunique()
    assert by_pair.max() == 1
    assert set(found.split) == {"reward", "gold", "test"}


@pytest.mark.parametrize("fault", ["missing", "text", "columns", "image", "empty"])
def test_what_is_no_table_of_preferences_is_a_sentence(tmp_path: Path, fault: str) -> None:
    file = tmp_path / "pairs.parquet"
    rows = {"pair": ["a"], "preferred_image": [png(1)], "other_image": [b"no image"]}
    match fault:
        case "text":
            file.write_text("a,b")
        case "columns":
            pd.DataFrame({"pair": ["a"]}).to_parquet(file)
        case "image":
            pd.DataFrame(rows).to_parquet(file)
        case "empty":
            pd.DataFrame(rows).iloc[:0].to_parquet(file)
    with pytest.raises(UserError):
        read_preferences(str(file), MeanColour(), 0)  # type: ignore[arg-type]
