"""The course of a DDPO run: one row an epoch, and its picture (paper, figure 7a)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Keys: epoch; train_reward with _std, _q10, _q50, _q90 and /<category>; gold_reward;
#: train_diversity; dropped; gradient_norm; approx_kl, clip_fraction, ratio and ratio_deviation, in
#: one pass of one forward batch and where held-out samples are measured alone; if asked for,
#: reference_kl and skipped_steps; no_gradient in an epoch without an update; seconds by phase.
#: Where measured: heldout_reward and heldout_gold_reward, described in the same way,
#: heldout_dropped and heldout_diversity; heldout_change, of the same samples since the first
#: measurement, with the 95 % interval heldout_change_low to _high, and heldout_gold_change in the
#: same way; heldout_common_reward, by the reward with total variation, if another is trained on.
#: stopped in the epoch that ended a run early; restored in the last row if an earlier adapter, of a
#: better gold score, took the last one's place, and given_up_ with each of `GIVEN_UP` if only the
#: last measurement said so.
Row = dict[str, Any]

GIVEN_UP = ("heldout_reward", "heldout_gold_reward")

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
            color = f"C{list(CURVES).index(key)}"
            axes.plot(
                *zip(*points, strict=True), marker="o", markersize=3, label=label, color=color
            )
    _band(axes, history)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean score")
    axes.legend()
    return picture


def _band(axes: Any, history: Sequence[Row]) -> None:
    """The paired 95 % interval of the held-out reward's change, laid around its curve."""
    low, high = (curve(history, f"heldout_change_{bound}") for bound in ("low", "high"))
    rewards = curve(history, "heldout_reward")
    if low and rewards:
        start, epochs = rewards[0][1], [epoch for epoch, _ in low]
        axes.fill_between(
            epochs, [start + value for _, value in low], [start + value for _, value in high],
            color="C1", alpha=0.2, linewidth=0, label="change since the start, 95 % interval",
        )  # fmt: skip
