"""How good a realism score is: what section 6.1 and the TV ablation of 6.3 report.

"Real" are photographs labelled realistic, "synthetic" are renderings of generated materials, both
of the test split, which no scorer was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.core.realism.linear import auc
from components.core.realism.scorer import LinearScorer

Features = NDArray[np.float32]
Groups = NDArray[np.int64]


@dataclass(frozen=True)
class TestData:
    """Features of the test split.

    real (R, D), synthetic (S, D), positive and negative (., D): all items by label.
    similar (G, n): rows of `real` that look alike. views (V, n, D): features of n slightly
    different views of each of V photographs.
    """

    real: Features
    synthetic: Features
    positive: Features
    negative: Features
    similar: Groups
    views: Features


def section_6_1(scorer: LinearScorer, data: TestData) -> dict[str, float]:
    """Mean scores and AUC, raw and normalised to [0, 1] by the largest and smallest score."""
    real, synthetic = scorer(data.real), scorer(data.synthetic)
    low = float(min(real.min(), synthetic.min()))
    span = max(float(max(real.max(), synthetic.max())) - low, 1e-9)
    found = {
        "real_mean": float(real.mean()),
        "synthetic_mean": float(synthetic.mean()),
        "real_mean_normalised": (float(real.mean()) - low) / span,
        "synthetic_mean_normalised": (float(synthetic.mean()) - low) / span,
        "holdout_auc": auc(real, synthetic),
    }
    if len(data.positive) and len(data.negative):
        found["label_auc"] = auc(scorer(data.positive), scorer(data.negative))
    return found


def ablation(with_tv: LinearScorer, without_tv: LinearScorer, data: TestData) -> dict[str, float]:
    """Spread of scores within groups of similar images, with and without total variation.

    std_*: mean standard deviation within groups of nearest photographs. std_*_normalised: the
    same divided by the range of all test scores, which a mere shrinking of the score leaves as it
    is. views_std_*: within views of one photograph.
    """
    found: dict[str, float] = {}
    for name, scorer in (("with", with_tv), ("without", without_tv)):
        scores = scorer(data.real)
        everything = np.concatenate([scores, scorer(data.synthetic)])
        spread = float(scores[data.similar].std(axis=1).mean())
        found[f"std_{name}"] = spread
        found[f"std_{name}_normalised"] = spread / max(float(np.ptp(everything)), 1e-9)
        count, n, width = data.views.shape
        seen = scorer(data.views.reshape(count * n, width)).reshape(count, n)
        found[f"views_std_{name}"] = float(seen.std(axis=1).mean())
        found[f"auc_{name}"] = auc(scores, scorer(data.synthetic))
    return found


def agreement(first: LinearScorer, second: LinearScorer, features: Features) -> float:
    """Pearson's correlation of two scorers over items (N, D); 0 if one tells none apart.

    Of two that trained on different items it says how much of a score is more than coincidence.
    """
    scores = np.stack([first(features), second(features)])
    if len(features) < 2 or not scores.std(axis=1).all():
        return 0.0
    return float(np.corrcoef(scores)[0, 1])


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Five digits after the point are more than the data carry."""
    return {name: round(value, 5) for name, value in values.items()}
