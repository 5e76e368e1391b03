"""Figures of the reward: the histogram behind figure 5 and the similar images of figure 8."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from components.core.realism.scorer import LinearScorer


def histogram(real: NDArray[np.float32], synthetic: NDArray[np.float32]) -> Figure:
    """Scores of both test sets."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    bins = np.histogram_bin_edges(np.concatenate([real, synthetic]), 30).tolist()
    axes.hist(real, bins, alpha=0.6, density=True, label=f"photographs (mean {real.mean():.3f})")
    label = f"generated (mean {synthetic.mean():.3f})"
    axes.hist(synthetic, bins, alpha=0.6, density=True, label=label)
    axes.set(xlabel="realism score", ylabel="density", title="Test split")
    axes.legend()
    return figure


def similar_images(
    images_nhwc: NDArray[np.uint8],
    features: NDArray[np.float32],
    with_tv: LinearScorer,
    without_tv: LinearScorer,
) -> Figure:
    """A group of similar photographs with their scores with and without total variation."""
    figure = Figure(figsize=(1.3 * len(images_nhwc), 2.0), layout="constrained")
    scores = zip(with_tv(features), without_tv(features), strict=True)
    for i, (image, (regular, plain)) in enumerate(zip(images_nhwc, scores, strict=True)):
        axes = figure.add_subplot(1, len(images_nhwc), i + 1)
        axes.imshow(image)
        axes.set_axis_off()
        axes.set_title(f"TV {regular:.3f}\nnone {plain:.3f}", fontsize=8)
    return figure
