"""Fitting a linear score on CLIP features by stochastic gradient descent.

Used for the realism classifiers and for the reward (paper, sections 4.1 and 4.3): one linear
layer, AdamW. The layer sees standardised features, which is the same family of functions with
better conditioning: unit CLIP vectors differ by a few hundredths per dimension, where a learning
rate of 1e-3 would take hours. Mean and scale are folded back into the returned scorer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from components.core.realism.scorer import LinearScorer

Score = Callable[[torch.Tensor], torch.Tensor]
"""Features (B, D) to scores (B,), differentiable in the layer."""
Loss = Callable[[Score, torch.Tensor], torch.Tensor]
"""The score function and the rows (B,) of a batch to a scalar loss."""


def fit_linear(
    features_nd: NDArray[np.float32],
    loss: Loss,
    *,
    steps: int,
    batch: int,
    start: float = 0.0,
    learning_rate: float,
    weight_decay: float = 0.0,
    seed: int = 0,
    on_progress: Callable[[int, float], None] = lambda step, value: None,
) -> LinearScorer:
    """Minimise `loss` over random batches of rows, in `steps` steps.

    The layer starts as the constant `start`. The learning rate falls to zero along a cosine,
    which averages out the noise of the last batches. on_progress receives the number of finished
    steps and the mean loss since its last call, twenty times in all.
    """
    mean = torch.from_numpy(features_nd.mean(0))
    # A dimension that hardly varies must not be blown up to the others' size.
    scale = torch.from_numpy(features_nd.std(0)).clamp_min(0.1 * float(features_nd.std(0).mean()))
    scale = scale.clamp_min(1e-6)
    weight = torch.zeros(features_nd.shape[1], requires_grad=True)
    bias = torch.full((1,), start, requires_grad=True)
    optimizer = torch.optim.AdamW(
        [
            {"params": [weight], "weight_decay": weight_decay},
            {"params": [bias], "weight_decay": 0.0},
        ],
        lr=learning_rate,
        fused=True,
    )

    def score(x_bd: torch.Tensor) -> torch.Tensor:
        return ((x_bd - mean) / scale) @ weight + bias

    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = np.random.default_rng(seed)
    order: list[int] = []
    losses: list[float] = []
    for step in range(1, steps + 1):
        if len(order) < min(batch, len(features_nd)):
            order += rng.permutation(len(features_nd)).tolist()
        rows, order = torch.tensor(order[:batch]), order[batch:]
        value = loss(score, rows)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        decay.step()
        losses.append(float(value.detach()))
        if step % max(1, steps // 20) == 0:
            on_progress(step, float(np.mean(losses)))
            losses = []
    folded = weight.detach() / scale
    return LinearScorer(folded.numpy(), float(bias.detach() - folded @ mean))


def auc(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float:
    """Probability that a random positive score exceeds a random negative one (ties count half)."""
    if not len(positive) or not len(negative):
        raise ValueError("AUC needs scores of both kinds")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / (2 * len(negative)))
