"""The page of a contest: one self-contained HTML file, tables and a strip of pictures a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from components.evaluation.contest_tables import (
    Rows,
    Table,
    categories_table,
    differences_table,
    methods_table,
    preferences_table,
)
from components.evaluation.markup import card, table

SECTIONS: Mapping[str, tuple[str, Callable[[Rows], Table]]] = {
    "methods": ("The methods", methods_table),
    "differences": ("Differences from the first", differences_table),
    "preferences": ("What people preferred", preferences_table),
    "categories": ("By category", categories_table),
}
"""Title and form of each table, in the page's order."""


def contest_page(
    report: Mapping[str, Any], tables: Mapping[str, Rows], pictures: Sequence[tuple[str, Rows]]
) -> str:
    """The document. pictures: a prompt and, for each method, `method` and `url` (a data URL).

    tables: the rows of `SECTIONS` by name; those without rows are left out.
    """
    css = files("components.evaluation").joinpath("templates", "report.css").read_text("utf-8")
    notes = "".join(f"<li>{escape(note)}</li>" for note in report["notes"])
    cards = "".join(
        card(title, table(*shape(tables[name])))
        for name, (title, shape) in SECTIONS.items()
        if tables.get(name)
    )
    strips = "".join(_strip(prompt, shown) for prompt, shown in pictures)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,"><title>RealMat: methods compared</title>'
        f"<style>{css}</style></head><body><main><h1>Methods compared</h1>"
        f"<p>{report['materials']} materials each, seed {report['seed']}, the same prompts, seeds "
        f"and lights for all. ↑ higher is better, ↓ lower is better.</p><ul>{notes}</ul>{cards}"
        f"{card('Renderings', strips)}</main></body></html>\n"
    )


def _strip(prompt: str, shown: Rows) -> str:
    images = "".join(
        f'<figure style="margin:0"><img src="{one["url"]}" alt="{escape(one["method"])}" '
        f'style="width:100%"><figcaption>{escape(one["method"])}</figcaption></figure>'
        for one in shown
    )
    grid = "display:grid;gap:8px;grid-template-columns:repeat(auto-fill,minmax(110px,1fr))"
    return f'<p>{escape(prompt)}</p><div style="{grid}">{images}</div>'
