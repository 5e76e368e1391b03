"""What was judged and by whom, as pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from labeling.agreement import Agreement
from labeling.annotations import LABELS, SETS, Annotation, Task

COLOURS = ("#2a7f62", "#b5482f", "#9aa0a6")


def judgements_by_category(tasks: Sequence[Task], annotations: Sequence[Annotation]) -> Figure:
    """Shares of the labels by category, one panel a set; the number judged stands beside."""
    category: dict[tuple[str, int], str] = {(task.set, task.item): task.category for task in tasks}
    counts = Counter((a.set, category[(a.set, a.item)], a.label) for a in annotations)
    names = sorted(set(category.values()), reverse=True)
    figure = Figure(figsize=(9, 0.9 + 0.28 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(SETS), sharey=True, squeeze=False)[0]
    for axis, part in zip(axes, SETS, strict=True):
        total = np.array([sum(counts[(part, name, label)] for label in LABELS) for name in names])
        left = np.zeros(len(names))
        for label, colour in zip(LABELS, COLOURS, strict=True):
            share = np.array([counts[(part, name, label)] for name in names]) / np.maximum(total, 1)
            axis.barh(names, share, left=left, color=colour, label=label)
            left += share
        for row, number in enumerate(total):
            axis.text(1.02, row, str(number), va="center", fontsize=8)
        axis.set(title=part, xlim=(0, 1.12), xlabel="share of judgements")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(LABELS), fontsize=8)
    return figure


def annotators(agreed: Agreement, threshold: float) -> Figure:
    """Agreement with others against the bias towards "realistic", a dot an annotator."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    for person in agreed.annotators:
        if person.bias is None or person.agreement is None:
            continue
        colour = COLOURS[1] if person.flagged else COLOURS[0]
        axis.scatter(person.bias, person.agreement, s=20 + person.shared, color=colour, alpha=0.7)
        axis.annotate(person.annotator, (person.bias, person.agreement), fontsize=8)
    axis.axhline(threshold, color="grey", linewidth=0.8, linestyle="--")
    axis.axvline(0, color="grey", linewidth=0.8)
    alpha = "undefined" if agreed.alpha is None else f"{agreed.alpha:.2f}"
    axis.set(
        title=f"Krippendorff's alpha {alpha} on {agreed.shared} shared images",
        xlabel='says "realistic" more often than others (share)',
        ylabel="agrees with others (share)",
        ylim=(-0.02, 1.02),
    )
    return figure
