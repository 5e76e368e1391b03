"""How far the classifiers' probabilities can be trusted: cross-validation on the hand labels.

Every judged image outside the test split gets a probability from a classifier that saw no image of
the same material. What is drawn and reported from these says how well the classifier ranks (ROC,
precision and recall), whether a probability of 0.7 means 7 in 10 (calibration), and what the
threshold of section 5 does to the labels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from sklearn.model_selection import GroupKFold

BINS = 8
SUSPECT = 0.8
Fit = Callable[[NDArray[np.int64]], Callable[[NDArray[np.int64]], NDArray[np.float32]]]
"""Rows to train on to a function from rows to probabilities."""


def out_of_fold(
    groups: list[str], labels: NDArray[np.int64], fit: Fit, folds: int = 5
) -> NDArray[np.float64]:
    """Probabilities (N,) by classifiers that saw no item of the same group; NaN where none could
    be trained, because too few groups or only one class were left."""
    found = np.full(len(labels), np.nan)
    folds = min(folds, len(set(groups)))
    if folds < 2:
        return found
    for train, test in GroupKFold(folds).split(labels, groups=groups):
        if len(np.unique(labels[train])) == 2:
            found[test] = fit(train)(test)
    return found


def summary(labels: NDArray[np.int64], probability: NDArray[np.float64]) -> dict[str, float]:
    """AUC, average precision and Brier score; nothing where there is only one class."""
    known = ~np.isnan(probability)
    if len(np.unique(labels[known])) < 2:
        return {}
    labels, probability = labels[known], probability[known]
    return {
        "cv_auc": float(roc_auc_score(labels, probability)),
        "cv_average_precision": float(average_precision_score(labels, probability)),
        "cv_brier": float(brier_score_loss(labels, probability)),
    }


def suspects(labels: NDArray[np.int64], probability: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows whose hand label the others contradict most, the gravest first: slips to look at."""
    doubt = np.nan_to_num(np.abs(labels - probability))
    order = np.argsort(-doubt, kind="stable")
    return order[doubt[order] > SUSPECT]


def figure(
    name: str, labels: NDArray[np.int64], probability: NDArray[np.float64], threshold: float
) -> Figure:
    """ROC, precision and recall, calibration, and the effect of the threshold, in a row."""
    known = ~np.isnan(probability)
    labels, probability = labels[known], probability[known]
    drawn = Figure(figsize=(14, 3.6), layout="constrained")
    roc, precise, calibrated, cut = drawn.subplots(1, 4)
    numbers = summary(labels, probability)
    wrong, right, _ = roc_curve(labels, probability)
    roc.plot(wrong, right)
    roc.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    roc.set(xlabel="false positive rate", ylabel="true positive rate",
            title=f"{name}: AUC {numbers['cv_auc']:.3f}")  # fmt: skip
    precision, recall, _ = precision_recall_curve(labels, probability)
    precise.plot(recall, precision)
    precise.axhline(labels.mean(), color="grey", linewidth=0.8)
    precise.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02),
                title=f"average precision {numbers['cv_average_precision']:.3f}")  # fmt: skip
    happened, said = calibration_curve(labels, probability, n_bins=BINS, strategy="quantile")
    calibrated.plot(said, happened, marker="o")
    calibrated.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    calibrated.set(xlabel="estimated probability", ylabel="share judged realistic",
                   title=f"calibration, Brier {numbers['cv_brier']:.3f}")  # fmt: skip
    places = np.linspace(0, 1, 101)
    kept = probability[None] > places[:, None]
    cut.plot(places, kept.mean(axis=1), label="labelled realistic")
    cut.plot(places, (kept == labels[None]).mean(axis=1), label="agrees with the hand label")
    cut.axvline(threshold, color="grey", linestyle="--", label=f"threshold {threshold:g}")
    cut.set(xlabel="threshold", ylabel="share", ylim=(0, 1.02), title="effect of the threshold")
    cut.legend(fontsize=8)
    return drawn
