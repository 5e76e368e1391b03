"""The loss curve of a fixed training, in numbers that were computed once and looked at.

A change of schedule, conditioning, order of the data, dropout, warm-up, weight decay, clipping or
averaging over micro-batches moves it, whether or not anything else notices.
"""

from pathlib import Path

import numpy as np

from components.sdxl_finetune.config import Config
from components.sdxl_finetune.stage import run
from tests.sdxl_finetune.recorder import Recorder

LOSS = [
    0.42416, 0.47530, 0.44197, 0.37502, 0.39228, 0.40456,
    0.34977, 0.35539, 0.38029, 0.31839, 0.33001, 0.30996,
]  # fmt: skip
HELDOUT = [0.52738, 0.46258, 0.41154, 0.40456]
TOLERANCE = 2e-3
"""Relative: far more than another order of sums moves these, less than any setting does."""


def trained(config: Config, dataset: Path, place: Path) -> Recorder:
    recorder = Recorder()
    given = {"dataset": [dataset], "output": place / "model", "work": place / "work"}
    run(config, **given, tracker=recorder)  # type: ignore[arg-type]
    return recorder


def test_the_learning_rate_grows_stays_and_falls(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    config = Config(
        base_model=str(base_model), iterations=8, batch_size=2, micro_batch_size=2,
        learning_rate=1.0e-4, warmup_steps=2, cooldown_steps=4, log_every=1,
        heldout_every=0, preview_prompts=0, device="cpu",
    )  # fmt: skip
    recorder = trained(config, dataset, tmp_path)
    rates = [row["learning_rate"] for _, row in recorder.rows if "learning_rate" in row]
    np.testing.assert_allclose(rates, 1e-4 * np.array([0.5, 1, 1, 1, 1, 0.75, 0.5, 0.25]))


def test_the_loss_curve_is_the_one_of_before(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    config = Config(
        seed=7, base_model=str(base_model), iterations=12, batch_size=6, micro_batch_size=3,
        learning_rate=2e-3, warmup_steps=4, weight_decay=0.1, max_gradient_norm=0.5,
        caption_dropout=0.3, variants_per_grid=2, log_every=1, checkpoint_every=100,
        heldout_every=4, preview_prompts=0, device="cpu",
    )  # fmt: skip
    recorder = trained(config, dataset, tmp_path)
    heldout = [row["heldout_loss"] for _, row in recorder.rows if "heldout_loss" in row]
    np.testing.assert_allclose(recorder.losses, LOSS, rtol=TOLERANCE)
    np.testing.assert_allclose(heldout, HELDOUT, rtol=TOLERANCE)
