"""Figure 7(b) in a run's report: rewards by epoch of trainings with other numbers of prompts.

`realmat ablate prompts` trains them; no run does. The report takes its ablation.json and says that
these are trainings beside the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.evaluation import charts
from components.evaluation.charts import Series
from components.evaluation.markup import card

Json = Mapping[str, Any]
FILE = "ablation.json"
KIND = "prompts"
CURVES = {"train_reward": "training prompts", "heldout_reward": "held-out prompts"}
COLOURS = ("c-before", "c-after", "c-gold", "c-photos", "c-worse")


def read_ablation(folder: Path, recipe: str, sources: Mapping[str, str]) -> dict[str, Any]:
    """{"recipe", "settings", "variants": {name: {curve: [[epoch, reward], …]}}}.

    UserError for anything but what `realmat ablate prompts` has written of this recipe and of the
    same `sources` as the run's, by name ("": the embedded data).
    """
    file = folder / FILE
    expected = f"{file}: expected what `realmat ablate prompts {recipe}` writes"
    try:
        found = json.loads(file.read_text("utf-8"))
        kind, of = found["kind"], found["recipe"]
        variants = {
            str(name): {
                curve: [(int(epoch), float(value)) for epoch, value in lines[curve]]
                for curve in CURVES
            }
            for name, lines in found["variants"].items()
        }
        settings = [str(text) for text in found["settings"]]
        trained_on = {str(name): str(uri) for name, uri in found["sources"].items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError(f"{expected}: give its output folder.") from error
    if (kind, of) != (KIND, recipe) or not variants:
        raise UserError(f"{expected}, found kind '{kind}' of recipe '{of}': give another folder.")
    for name in sorted({*sources, *trained_on}):
        own, other = (given.get(name, "") for given in (sources, trained_on))
        if own != other:
            raise UserError(
                f"{file}: expected trainings with the run's {name} ({own or 'none given'}), found "
                f"{other or 'none given'}: give both commands the same --{name}."
            )
    return {"recipe": of, "settings": settings, "variants": variants}


def best_variant(ablation: Json) -> str | None:
    """The variant whose last held-out reward is highest, and among which."""
    last = {
        name: lines["heldout_reward"][-1][1]
        for name, lines in ablation.get("variants", {}).items()
        if lines["heldout_reward"]
    }
    if not last:
        return None
    best = max(last, key=lambda name: last[name])
    return f"{best} (held-out reward {last[best]:.3f}) of {', '.join(last)}"


def ablation_section(ablation: Json) -> str:
    """Two charts, one line a variant; nothing without an ablation."""
    if not ablation:
        return ""
    changed = ", ".join(ablation["settings"])
    note = (
        "Trainings beside this run, by realmat ablate prompts with the recipe "
        f"{ablation['recipe']}{f' and {changed}' if changed else ''}; all else is the same."
    )
    cards = "".join(_card(title, curve, ablation["variants"]) for curve, title in CURVES.items())
    return (
        f'<h2>Fig. 7 (b) · Numbers of training prompts</h2><p class="note">{escape(note)}'
        f'</p><div class="charts">{cards}</div>'
    )


def _card(title: str, curve: str, variants: Mapping[str, Json]) -> str:
    drawn = {name: dict(lines[curve]) for name, lines in variants.items() if lines[curve]}
    if not drawn:
        return ""
    epochs = sorted({epoch for line in drawn.values() for epoch in line})
    series = [
        Series(name, COLOURS[i % len(COLOURS)], _aligned(line, epochs))
        for i, (name, line) in enumerate(drawn.items())
    ]
    chart = charts.line_chart(title, epochs, series, x_label="epoch", y_label="mean realism score")
    return card(f"Reward of {title}", chart + charts.legend(series))


def _aligned(line: Mapping[int, float], epochs: Sequence[int]) -> list[float | None]:
    return [line.get(epoch) for epoch in epochs]
