"""What an epoch reports."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import ttest_rel

from components.core.diffusion.lora import add_lora
from components.core.platform.tracking import NullTracker
from components.core.realism.reward import load_reward
from components.ddpo_lora.clock import Clock
from components.ddpo_lora.history import figure
from components.ddpo_lora.metrics import diversity, flat, paired_change, reward_metrics
from components.ddpo_lora.strips import save_strip, sheet
from components.ddpo_lora.trainer import Trainer
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, micro_config, micro_model
from tests.ddpo_lora.real import RENDERING, real_reward, save_reward


class Recorder(NullTracker):
    """Keeps metrics by step and pictures by name."""

    def __init__(self) -> None:
        self.metrics: dict[int, dict[str, float]] = {}
        self.images: dict[str, NDArray[np.uint8]] = {}

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        assert step is not None
        self.metrics.setdefault(step, {}).update(metrics)

    def log_image(self, image: NDArray[np.uint8], name: str) -> None:
        self.images[name] = image


def test_rewards_are_described_without_those_that_are_missing() -> None:
    rewards = np.array([1.0, 2.0, np.nan, 6.0])
    found = reward_metrics("r", rewards, ["wood", "wood", "wood", "stone"])
    known = np.array([1.0, 2.0, 6.0])
    assert found == pytest.approx(
        {
            "r": 3.0, "r_std": known.std(), "r_q10": 1.2, "r_q50": 2.0, "r_q90": 5.2,
            "r/wood": 1.5, "r/stone": 6.0,
        }
    )  # fmt: skip
    assert reward_metrics("r", np.array([np.nan])) == {}


def test_a_paired_change_and_its_interval_against_scipy() -> None:
    rng = np.random.default_rng(0)
    start, now = rng.normal(size=(2, 20))
    now[3] = np.nan
    found = paired_change("c", start, now)
    known = np.isfinite(now)
    interval = ttest_rel(now[known], start[known]).confidence_interval(0.95)
    assert found["c"] == pytest.approx(float((now - start)[known].mean()))
    assert (found["c_low"], found["c_high"]) == pytest.approx((interval.low, interval.high))
    assert paired_change("c", start[:1], now[:1]) == {}


def test_the_figure_has_a_band_around_the_heldout_curve() -> None:
    rows = [
        {"epoch": e, "train_reward": 0.1 * e, "heldout_reward": 1.0 + e, "heldout_change": e,
         "heldout_change_low": e - 0.5, "heldout_change_high": e + 0.5}
        for e in range(3)
    ]  # fmt: skip
    (axes,) = figure(rows).axes
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].min() == pytest.approx(0.5)
    assert corners[:, 1].max() == pytest.approx(3.5)
    assert not figure([{"epoch": 0, "train_reward": 1.0}]).axes[0].collections


def test_diversity_is_none_of_one_sample_and_zero_of_equal_ones() -> None:
    assert diversity(np.eye(3, dtype=np.float32)) == pytest.approx(1.0)
    assert diversity(np.ones((4, 2), np.float32)) == pytest.approx(0.0, abs=1e-6)
    lost = np.array([[1.0, 0.0], [np.nan, np.nan]], np.float32)
    assert diversity(lost) is None


def test_phases_become_metrics_and_other_things_do_not() -> None:
    row = {"epoch": 1, "ratio": 1.0, "seconds": {"sample": 2.0}}
    assert flat(row) == {"ratio": 1.0, "seconds/sample": 2.0}


def test_an_epoch_logs_everything_and_strips_show_the_same_samples(tmp_path: Path) -> None:
    model, recorder = micro_model(), Recorder()
    config = micro_config(
        steps=2, epochs=2, heldout_every=1, strips_every=1, strip_prompts=2, kl_coefficient=0.1,
        skip_gradients_above=100.0, learning_rate=1e-30,
    )  # fmt: skip
    add_lora(model.unet, config.rank)
    categories = {prompt: prompt.split(",")[0] for prompt in [*PROMPTS, *HELDOUT]}
    Trainer(
        model, real_reward(), PROMPTS, HELDOUT, config, tmp_path, recorder, categories=categories
    ).run()
    expected = {
        "train_reward", "train_reward_std", "train_reward_q10", "train_reward_q50",
        "train_reward_q90", "train_reward/brick", "train_reward/wood", "heldout_reward",
        "heldout_reward_q50", "heldout_reward/stone", "heldout_gold_reward", "gold_reward",
        "heldout_change", "heldout_change_low", "heldout_change_high", "heldout_gold_change",
        "heldout_gold_change_low", "heldout_gold_change_high", "heldout_dropped",
        "train_diversity", "heldout_diversity", "ratio", "ratio_deviation", "clip_fraction",
        "approx_kl", "reference_kl", "gradient_norm", "skipped_steps", "dropped",
        "seconds/sample", "seconds/decode", "seconds/render", "seconds/score", "seconds/update",
    }  # fmt: skip
    assert expected <= set(recorder.metrics[0])
    assert recorder.metrics[0]["ratio"] == pytest.approx(1.0, abs=1e-6)
    assert set(recorder.images) == {"strips/00000.png", "strips/00001.png", "strips/00002.png"}
    # A policy that cannot move shows the same pictures every time.
    first, second = recorder.images["strips/00000.png"], recorder.images["strips/00001.png"]
    assert first.shape == (24, 48, 3)
    assert np.array_equal(first, second)
    assert first.std() > 0
    whole = sheet(tmp_path)
    assert whole is not None
    assert whole.shape == (72, 48, 3)


def test_a_run_on_another_scorer_is_also_measured_by_the_one_that_all_runs_have(
    tmp_path: Path,
) -> None:
    """Here the artifact's gold scorer is trained on; what all have is its reward."""
    save_reward(tmp_path)
    own = load_reward(tmp_path, "", RENDERING)
    other = load_reward(tmp_path, "", RENDERING, scorer="gold")
    measured = []
    for name, reward in (("own", own), ("other", other)):
        model, config = micro_model(), micro_config(steps=2)
        add_lora(model.unet, config.rank)
        arguments = (model, reward, PROMPTS, HELDOUT, config, tmp_path / name, NullTracker())
        measured.append(Trainer(*arguments).heldout.measure(Clock())[0])
    assert "heldout_common_reward" not in measured[0]
    assert measured[1]["heldout_common_reward"] == measured[0]["heldout_reward"]
    assert measured[1]["heldout_reward"] == measured[0]["heldout_gold_reward"]
    assert measured[1]["heldout_reward"] != measured[0]["heldout_reward"]


def test_a_sheet_has_the_first_epoch_on_top(tmp_path: Path) -> None:
    assert sheet(tmp_path) is None
    for epoch in (10, 0):
        save_strip(tmp_path, epoch, np.full((2, 4, 4, 3), epoch, np.uint8))
    picture = sheet(tmp_path)
    assert picture is not None
    assert picture[:, 0, 0].tolist() == [0] * 4 + [10] * 4
    assert len(list((tmp_path / "strips").iterdir())) == 2
    assert Image.open(tmp_path / "strips" / "epoch-00000.png").size == (8, 4)
