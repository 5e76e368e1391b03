"""The figures of the page: pairs with a slider, curves, score distributions."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from components.evaluation import charts
from components.evaluation.categories import category_table
from components.evaluation.charts import Series
from components.evaluation.markup import card, image, table

CURVES = (
    ("training prompts", "c-before", "train_reward"),
    ("held-out prompts", "c-after", "heldout_reward"),
    ("held-out, gold scorer", "c-gold", "heldout_gold_reward"),
)
MAPS = ("albedo", "height", "roughness", "metallic", "normal")

Json = Mapping[str, Any]


def pairs(details: Json, media: Path | None) -> str:
    """The shown pairs, each with a slider between before and after, and the maps of both."""
    shown = details.get("shown", [])
    if media is None or not shown:
        return ""
    note = details.get("shown_rule", "")
    cards = "".join(_pair(pair, media) for pair in shown)
    head = f'<h2>Before and after</h2><p class="note">{escape(note)}</p>'
    return f'{head}<div class="pairs">{cards}</div>'


def _pair(pair: Json, media: Path) -> str:
    prompt = escape(str(pair["prompt"]))
    before, after = (image(media / pair[side]["rendering"]) for side in ("before", "after"))
    maps = "".join(
        f'<p class="meta">{side}</p><div class="maps">'
        + "".join(
            f'<img alt="{name}, {side}: {prompt}" src="{image(media / pair[side][name])}">'
            for name in MAPS
        )
        + "".join(f"<span>{name}</span>" for name in MAPS)
        + "</div>"
        for side in ("before", "after")
    )
    scores = "<br>".join(
        f"{name} {values[0]:.3f} → {values[1]:.3f}"
        for name, values in (("realism", pair["scores"]), ("gold", pair["gold"]))
    )
    return (
        f'<article class="card pair"><div class="compare">'
        f'<img alt="after: {prompt}" src="{after}">'
        f'<img class="before" alt="before: {prompt}" src="{before}">'
        '<em class="l">before</em><em class="r">after</em><i>⇔</i>'
        '<input type="range" min="0" max="100" value="50" aria-label="share of before">'
        f'</div><div class="text"><h3>{prompt}</h3><p class="meta">{scores}<br>'
        f'seed {int(pair["seed"])} · <button class="zoom">enlarge</button></p>'
        f"<details open><summary>maps</summary>{maps}</details>"
        "</div></article>"
    )


def curves(report: Json, details: Json) -> str:
    """Rewards by epoch, and the change of every pair."""
    blocks = []
    if "curves" in details:
        series = [
            Series(name, css, details["curves"][key])
            for name, css, key in CURVES
            if any(value is not None for value in details["curves"][key])
        ]
        chart = charts.line_chart(
            "reward by epoch",
            details["curves"]["epoch"],
            series,
            x_label="epoch",
            y_label="mean realism score",
        )
        blocks.append(card("Reward during reinforcement learning", chart + charts.legend(series)))
    pairs = details.get("pairs", [])
    if pairs and "before_after" in report:
        chart = charts.sorted_bars(
            "change by pair",
            [p["scores"][1] - p["scores"][0] for p in pairs],
            [f"{p['prompt']} (seed {p['seed']})" for p in pairs],
            tuple(report["before_after"]["ci95"]),
        )
        note = '<p class="note">The shaded band is the 95 % interval of the mean.</p>'
        blocks.append(card("Change of each pair", chart + note))
        blocks.append(category_table(pairs))
    return f'<h2>Curves</h2><div class="charts">{"".join(blocks)}</div>' if blocks else ""


def scores(report: Json, details: Json) -> str:
    """Distributions of scores, and the figures that would betray reward hacking."""
    blocks = []
    if "histogram" in details:
        data = details["histogram"]
        series = [
            Series("photographs", "c-photos", data["photographs"]),
            Series("synthetic, before", "c-before", data["before"]),
            Series("synthetic, after", "c-after", data["after"]),
        ]
        chart = charts.histogram("scores", data["edges"], series, x_label="realism score")
        note = _photographs_note(details)
        blocks.append(card("Scores, real and synthetic", chart + charts.legend(series) + note))
    rows = list(_reward_rows(report, details))
    if rows:
        blocks.append(card("The scorer, and signs of reward hacking", table((), rows)))
    return f'<h2>Scores</h2><div class="charts">{"".join(blocks)}</div>' if blocks else ""


def _photographs_note(details: Json) -> str:
    found = details.get("photographs")
    if not found:
        return ""
    return f'<p class="note">{found["scored"]} photographs. {escape(found["note"])}</p>'


def _reward_rows(report: Json, details: Json) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    reward = report.get("reward", {})
    for key, name in (
        ("real_mean", "mean score, real"),
        ("synthetic_mean", "mean score, synthetic"),
        ("holdout_auc", "AUC on held-out images"),
    ):
        if key in reward:
            rows.append((name, f"{reward[key]:.3f}"))
    if "tv" in reward:
        tv = reward["tv"]
        rows.append((
            "deviation within groups of similar images",
            f"{tv['std_with']:.4f} with TV, {tv['std_without']:.4f} without",
        ))  # fmt: skip
    for key, name, shown in (
        ("separability", "AUC, photographs against samples", "{:.3f}"),
        ("diversity_within", "diversity within a prompt", "{:.3f}"),
        ("seam", "step across the tile's border (tileable: 1 or less)", "{:.2f}"),
        ("recognised", "renderings whose category CLIP names rightly (chance 6 %)", "{:.0%}"),
    ):
        if key in details:
            value = details[key]
            rows.append((name, " → ".join(shown.format(value[s]) for s in ("before", "after"))))
    if "clip_score" in report:
        value = report["clip_score"]
        rows.append(("CLIP score, 100 × cosine", f"{value['before']:.2f} → {value['after']:.2f}"))
    return rows
