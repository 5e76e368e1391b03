"""The page of a contest: one self-contained HTML file, tables, a chart and plates of pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluation import charts
from components.evaluation.charts import Series
from components.evaluation.contest_tables import (
    Rows,
    Table,
    categories_table,
    differences_table,
    methods_table,
    preferences_table,
)
from components.evaluation.markup import ZOOM, card, definitions, table
from components.evaluation.plates_page import plate_card
from components.evaluation.statistics import histogram

SECTIONS: Mapping[str, tuple[str, Callable[[Rows], Table]]] = {
    "methods": ("The methods", methods_table),
    "differences": ("Differences from the first", differences_table),
    "preferences": ("What people preferred", preferences_table),
    "categories": ("By category", categories_table),
}
"""Title and form of each table, in the page's order."""
COLOURS = ("c-before", "c-after", "c-gold", "c-photos", "c-worse")


def contest_page(
    report: Mapping[str, Any],
    tables: Mapping[str, Rows],
    plates: Sequence[Mapping[str, Any]],
    media: Path,
    scores: Mapping[str, npt.NDArray[np.floating]],
) -> str:
    """The document.

    Args:
        tables: the rows of `SECTIONS` by name; those without rows are left out.
        plates: pictures, whose files lie in `media`.
        scores: realism of each method's materials; none without a reward.
    """
    css, script = (
        files("components.evaluation").joinpath("templates", name).read_text("utf-8")
        for name in ("report.css", "report.js")
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in report["notes"])
    cards = "".join(
        card(title, table(*shape(tables[name])))
        for name, (title, shape) in SECTIONS.items()
        if tables.get(name)
    )
    pictures = "".join(plate_card(plate, media) for plate in plates)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,"><title>RealMat: methods compared</title>'
        f"<style>{css}</style></head><body><main><h1>Methods compared</h1>"
        f"<p>{report['materials']} materials each, seed {report['seed']}, the same prompts, seeds "
        f"and lights for all. ↑ higher is better, ↓ lower is better.</p><ul>{notes}</ul>{cards}"
        f"{_scores(scores)}<h2>Pictures</h2>{pictures}{_made_with(report)}</main>"
        f'<div id="tip" role="status"></div>{ZOOM}<script>{script}</script></body></html>\n'
    )


def _scores(scores: Mapping[str, npt.NDArray[np.floating]]) -> str:
    """The distribution of realism of each method; of more methods than colours, the first ones."""
    shown = dict(list(scores.items())[: len(COLOURS)])
    if not shown:
        return ""
    counts = histogram(shown)
    series = [Series(name, css, counts[name]) for name, css in zip(shown, COLOURS, strict=False)]
    chart = charts.histogram("scores", counts["edges"], series, x_label="realism score")
    return card("Realism of single materials", chart + charts.legend(series))


def _made_with(report: Mapping[str, Any]) -> str:
    """Models and judges with their addresses, machine and versions, as in report.json."""
    request = report["request"]
    rows = [*request["models"].items(), *request["externals"].items(), *report["given"].items()]
    rows += [*report["environment"].items(), ("created", report["created"])]
    return f'<h2>Made with</h2><section class="card">{definitions(rows)}</section>'
