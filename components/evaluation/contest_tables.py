"""A contest's numbers as a reader wants them: words for names, a row a measure, intervals beside.

The files keep the short names (methods.csv, differences.csv, categories.csv, preferences.csv); the
page shows these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.core.realism.reward import GOLD, REWARD
from components.evaluation.preferences import PAPER, PAPER_VOTES

Rows = Sequence[Mapping[str, Any]]
Table = tuple[Sequence[str], Sequence[Sequence[str]]]
UNKNOWN = "–"

MEASURES = {
    REWARD: "realism, the trained reward ↑",
    GOLD: "realism, the gold scorer ↑",
    "clip_score": "CLIP score, fit to the prompt ↑",
    "recognised": "category recognised, share ↑",
    "kid": "KID against the photographs ↓",
    "distance": "diversity, mean CLIP distance ↑",
    "distance_within": "diversity within a prompt ↑",
    "vendi": "Vendi score, effective number of looks ↑",
    "seam": "seam when tiled, 1 is none ↓",
    "light_baking": "light baked into the albedo ↓",
    "metal_as_asked": "metal where asked and only there, share ↑",
    "metal_share": "metal, share of the pixels",
    "metalness_95": "metalness, 95th percentile",
    "contrast": "contrast of the albedo",
    "grid_contrast": "contrast of the four maps together",
    "colourfulness": "colourfulness of the albedo",
    "black_metal_beside_colour": "black metallicity beside a colourful albedo, share ↑",
    "seconds": "seconds a material ↓",
    "memory_bytes": "peak memory, GB ↓",
}
"""What the page calls a measure; the arrow says which way is better, where one way is."""

MAIN = (REWARD, GOLD, "clip_score", "recognised", "metal_as_asked", "seam")
"""The measures of the table by category."""


def methods_table(rows: Rows) -> Table:
    """A row a measure, a column a method: value [low, high]."""
    known = [name for name in MEASURES if any(row.get(name) is not None for row in rows)]
    head = ["measure", *(str(row["method"]) for row in rows)]
    return head, [[MEASURES[name], *(_cell(row, name) for row in rows)] for name in known]


def differences_table(rows: Rows) -> Table:
    """A row a comparison, with its interval and the p-value corrected for all of them."""
    head = ("method", "against", "measure", "pairs", "difference [95 %]", "p, corrected")
    body = [
        (
            str(row["method"]),
            str(row["against"]),
            MEASURES[row["measure"]].rstrip(" ↑↓"),
            str(row["pairs"]),
            f"{row['difference']:+.4g} [{row['low']:+.4g}, {row['high']:+.4g}]",
            "< 0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}",
        )
        for row in rows
    ]
    return head, body


def categories_table(rows: Rows) -> Table:
    """A row a category and method, the categories together."""
    known = [name for name in MAIN if any(row.get(name) is not None for row in rows)]
    head = ["category", "method", "materials", *(MEASURES[name].rstrip(" ↑↓") for name in known)]
    # Sorting is stable: within a category the methods keep their order.
    ordered = sorted(rows, key=lambda row: str(row["category"]))
    return head, [
        [str(row["category"]), str(row["method"]), str(row["materials"]),
         *(_cell(row, name) for name in known)]
        for row in ordered
    ]  # fmt: skip


def preferences_table(rows: Rows) -> Table:
    """A row a choice; the paper's study below, marked as the paper's."""
    ours = [
        (str(row["method"]), f"{row['share']:.1%} [{row['low']:.1%}, {row['high']:.1%}]",
         str(row["votes"]))
        for row in rows
    ]  # fmt: skip
    paper = [
        (f"{name} (the paper, section 6.4)", f"{share:.0%}", f"of {PAPER_VOTES} in all")
        for name, share in PAPER.items()
    ]
    return ("preferred", "share [95 %]", "votes"), [*ours, *paper]


def _cell(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return UNKNOWN
    if name == "memory_bytes":
        value = value / 1e9
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    interval = "" if low is None or high is None else f" [{low:.3g}, {high:.3g}]"
    return (f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}") + interval
