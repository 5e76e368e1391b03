"""Small pieces of HTML: whatever text they are given, they escape."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

ZOOM = (
    '<dialog id="zoom"><form method="dialog"><h3></h3><button aria-label="close">×</button></form>'
    '<div class="large"></div></dialog>'
)
"""Where the page's script shows pictures in full size."""


def tile(name: str, value: str, note: str, css: str = "") -> str:
    """One figure with its name above and a note below; `css` colours the figure."""
    return (
        f'<div class="tile"><span>{escape(name)}</span><b class="{css}">{escape(value)}</b>'
        f"<small>{escape(note)}</small></div>"
    )


def card(title: str, body: str) -> str:
    """A titled box around `body`, which is HTML already."""
    return f'<section class="card"><h3>{escape(title)}</h3>{body}</section>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls sideways where it must; no head row if `head` is empty."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{top}</tr>{body}</table></div>'


def definitions(items: Sequence[tuple[str, str]]) -> str:
    """Names and what they stand for."""
    body = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in items)
    return f"<dl>{body}</dl>"


def image(path: Path) -> str:
    """A PNG file as a data URL."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
