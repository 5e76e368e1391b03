"""The course of a DDPO run: one row an epoch, and its picture (paper, figure 7a)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Keys: epoch; train_reward with _std, _q10, _q50, _q90 and /<category>; gold_reward;
#: train_diversity; dropped; approx_kl, clip_fraction, ratio, ratio_deviation, gradient_norm and,
#: if asked for, reference_kl and skipped_steps; no_gradient in an epoch without an update; seconds
#: by phase. Where measured: heldout_reward and heldout_gold_reward, described in the same way, and
#: heldout_diversity. stopped in the epoch that ended a run early.
Row = dict[str, Any]

CURVES = {
    "train_reward": "training prompts",
    "heldout_reward": "held-out prompts",
    "heldout_gold_reward": "held-out prompts, gold scorer",
}


def curve(history: Sequence[Row], key: str) -> list[tuple[int, float]]:
    """(epoch, value) of the rows in which `key` was measured."""
    return [(int(row["epoch"]), float(row[key])) for row in history if key in row]


def figure(history: Sequence[Row]) -> "Figure":
    """Mean rewards by epoch, on training and held-out prompts."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(7, 4), layout="constrained")
    axes = picture.subplots()
    for key, label in CURVES.items():
        points = curve(history, key)
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean score")
    axes.legend()
    return picture
