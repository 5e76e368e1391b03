"""What changed in each category, as a table of the page and as rows for files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.evaluation.markup import card, table

Json = Mapping[str, Any]
Values = dict[str, float | int | str]


def by_category(pairs: Sequence[Json]) -> list[Values]:
    """Means of reward and gold score before and after, one row a category, by name.

    Args:
        pairs: as in details.json: {"category", "scores": [before, after], "gold": [before, after]}.
    """
    rows: list[Values] = []
    for category in sorted({pair["category"] for pair in pairs}):
        own = [pair for pair in pairs if pair["category"] == category]
        row: Values = {"category": category, "pairs": len(own)}
        for name in ("scores", "gold"):
            before, after = np.mean([pair[name] for pair in own], axis=0)
            key = "realism" if name == "scores" else name
            row |= {f"{key}_before": float(before), f"{key}_after": float(after)}
        rows.append(row)
    return rows


def category_table(pairs: Sequence[Json]) -> str:
    """The rows as a card; a category has few pairs, so it has no interval of its own."""
    cells = [
        (
            str(row["category"]),
            str(row["pairs"]),
            *(
                f"{row[f'{key}_before']:.3f} → {row[f'{key}_after']:.3f}"
                for key in ("realism", "gold")
            ),
        )
        for row in by_category(pairs)
    ]
    if not cells:
        return ""
    note = '<p class="note">Few pairs each: a single row shows a tendency at most.</p>'
    return card("By category", note + table(("category", "pairs", "realism", "gold"), cells))
