"""The pictures after the paper's figures, as a section of the page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from components.evaluation.markup import image

Json = Mapping[str, Any]


def plates(details: Json, media: Path | None, strips: Path | None) -> str:
    """Figures 5, 8, 9, 11 of details.json and figure 10 from the adapter's strips."""
    cards = [plate_card(plate, media) for plate in details.get("plates", []) if media is not None]
    if strips is not None:
        cards.append(
            '<article class="card plate"><h3>Fig. 10 · Epoch by epoch</h3><p class="note">The same '
            "prompts, seeds and light in each row of materials; training goes on from top to "
            f'bottom.</p><img class="strips" alt="strips by epoch" src="{image(strips)}"></article>'
        )
    if not cards:
        return ""
    note = "This run's own pictures, arranged as in the paper; chosen by numbers, not by hand."
    return f'<h2>After the paper\'s figures</h2><p class="note">{note}</p>{"".join(cards)}'


def plate_card(plate: Json, media: Path) -> str:
    """One plate, whose files lie in `media`; the page's script opens its pictures large."""
    rows = "".join(
        (f'<p class="meta">{escape(row["name"])}</p>' if row["name"] else "")
        + '<div class="row">'
        + "".join(
            f'<figure><img alt="{escape(one["caption"])}" src="{image(media / one["file"])}">'
            f"<figcaption>{escape(one['caption'])}</figcaption></figure>"
            for one in row["images"]
        )
        + "</div>"
        for row in plate["rows"]
    )
    return (
        f'<article class="card plate"><h3>{escape(plate["figure"])} · {escape(plate["title"])}</h3>'
        f'<p class="note">{escape(plate["note"])}</p>{rows}</article>'
    )
