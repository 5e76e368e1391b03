"""report.html: one self-contained page made from the report and its details.

Pictures, styles and script are inside the page, so that it opens anywhere without a network, on a
phone too. Whatever comes from outside (prompts, paths, names) passes through `html.escape`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from components.evaluation import charts, figures
from components.evaluation.ablation import ablation_section
from components.evaluation.markup import ZOOM, card, definitions, table, tile
from components.evaluation.paper import beside_the_paper
from components.evaluation.plates_page import plates

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """What the page shows: `report` is report.json, the rest explains it."""

    report: Json
    details: Json = field(default_factory=dict)
    media: Path | None = None
    strips: Path | None = None
    sources: Sequence[tuple[str, str]] = ()
    set_aside: Sequence[Json] = ()
    gate: Json = field(default_factory=dict)
    settings: Json = field(default_factory=dict)
    runs: Sequence[Json] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    created: str = ""


def render_page(page: Page) -> str:
    """The whole document as text."""
    sections = (
        _header(page),
        _tiles(page.report),
        figures.pairs(page.details, page.media),
        figures.curves(page.report, page.details),
        ablation_section(page.details.get("ablation", {})),
        figures.scores(page.report, page.details),
        plates(page.details, page.media, page.strips),
        beside_the_paper(page.report, page.details),
        _gate(page),
        _data(page),
        _timings(page.report),
        _appendix(page),
    )
    css, script = (_template(name) for name in ("report.css", "report.js"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>RealMat report: {escape(str(page.report['recipe']))}</title>"
        f"<style>{css}</style></head><body><main>{''.join(sections)}</main>"
        f'<div id="tip" role="status"></div>{ZOOM}<script>{script}</script></body></html>\n'
    )


def headline(report: Json) -> str:
    """One sentence that says what the run found, from interval and test and not from hope."""
    result = report.get("before_after")
    if result is None:
        return "This run ended before the evaluation"
    low, high = result["ci95"]
    shown = result["p_value"] < 0.05
    if low > 0 and shown:
        return "Reinforcement learning made the held-out materials more realistic"
    if high < 0 and shown:
        return "Reinforcement learning made the held-out materials less realistic"
    return "No change in realism that this many prompts could show"


def _header(page: Page) -> str:
    recipe = escape(str(page.report["recipe"]))
    result = page.report.get("before_after")
    lead = ""
    if result is not None:
        lead = (
            f"<p>Over {result['pairs']} pairs of held-out prompt, seed and light, the realism "
            f"score went from {result['before_mean']:.3f} to {result['after_mean']:.3f}: "
            f"{result['difference']:+.3f}, 95 % interval {_interval(result)}, "
            f"p {_p_value(result['p_value'])}. The interval resamples prompts; "
            "the test flips their signs.</p>"
        )
    return (
        f'<p class="eyebrow">RealMat · recipe {recipe} · {escape(page.created)}</p>'
        f"<h1>{headline(page.report)}</h1>{lead}"
    )


def _tiles(report: Json) -> str:
    tiles = []
    for key, name in (("before_after", "Realism"), ("gold", "Gold scorer")):
        if key in report:
            result = report[key]
            css = "good" if result["ci95"][0] > 0 else "bad" if result["ci95"][1] < 0 else ""
            tiles.append(tile(name, f"{result['difference']:+.3f}", _interval(result), css))
    for key, name, shown in (
        ("clip_score", "CLIP score", "{:.1f}"),
        ("diversity", "Diversity", "{:.3f}"),
    ):
        if key in report:
            before, after = report[key]["before"], report[key]["after"]
            kept = f", {after / before:.0%} kept" if key == "diversity" and before else ""
            tiles.append(tile(name, shown.format(after), f"before {shown.format(before)}{kept}"))
    if "reward" in report and "holdout_auc" in report["reward"]:
        reward = report["reward"]
        tiles.append(tile("Reward AUC", f"{reward['holdout_auc']:.3f}", "real against synthetic"))
    if "model" in report:
        model = report["model"]
        tiles.append(tile("Model", f"v{model['version']}", f"{model['name']}@{model['alias']}"))
    return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""


def _gate(page: Page) -> str:
    """The gate's table, with the present champion's figures where there was one."""
    if not page.gate:
        return ""
    head = ["rule", "", "measured", "demanded", "because"]
    rows = [
        [rule["name"], "passed" if rule["passed"] else "not passed", rule["value"], rule["limit"],
         rule["reason"]]
        for rule in page.gate["rules"]
    ]  # fmt: skip
    note = (
        "A model that passes every rule becomes <b>champion</b>, any other a <b>candidate</b>. "
        f"This one: <b>{escape(page.gate['verdict'])}</b>."
    )
    if "champion" in page.gate:
        before = page.gate["champion"]
        head += ["this model", f"champion v{before['version']}"]
        for row, rule in zip(rows, page.gate["rules"], strict=True):
            row += [rule["after"] or "–", rule["champion"] or "–"]
        note += (
            " The last columns set the champion before this run beside it. Realism and gold are "
            "by each model's own scorers, whose scales differ; CLIP score and diversity can be "
            "compared."
        )
    return (
        f'<h2>Promotion gate</h2><p class="note">{note}</p>'
        f'<div class="card">{table(head, rows)}</div>{_beside_champion(page.gate)}'
    )


def _beside_champion(gate: Json) -> str:
    """All figures that this run and that of the champion before it measured."""
    champion = gate.get("champion", {})
    rows = [
        [row["figure"], f"{row['this']:.4g}", f"{row['champion']:.4g}",
         "own scales" if row["change"] is None else f"{row['change']:+.4g}"]
        for row in champion.get("figures", [])
    ]  # fmt: skip
    if not rows:
        return ""
    head = ("figure", "this model", f"champion v{champion['version']}", "change")
    return card("Beside the champion before", table(head, rows))


def _data(page: Page) -> str:
    if not page.sources and not page.set_aside:
        return ""
    aside = ""
    if page.set_aside:
        rows = [(str(item["source"]), str(item["reason"])) for item in page.set_aside]
        aside = (
            f"<details><summary>set aside: {len(rows)}</summary>"
            f"{table(('file', 'reason'), rows)}</details>"
        )
    body = f"{definitions(page.sources)}{_licences(page)}{aside}"
    return f'<h2>What went in</h2><div class="card">{body}</div>'


def _licences(page: Page) -> str:
    data = page.details.get("data", {})
    return "".join(
        f"<details><summary>{title}</summary>"
        f"{table((title, 'grids'), [(name, str(n)) for name, n in data[key].items()])}</details>"
        for key, title in (("licences", "licences of the materials"), ("authors", "their authors"))
        if data.get(key)
    )


def _timings(report: Json) -> str:
    seconds = {stage["name"]: float(stage["seconds"]) for stage in report["stages"]}
    if not seconds:
        return ""
    total = charts.duration(sum(seconds.values()))
    return (
        f'<h2>Time by stage</h2><p class="note">{total} of work in all.</p>'
        f'<div class="card">{charts.timing_bars(seconds)}</div>'
    )


def _appendix(page: Page) -> str:
    recipe = json.dumps(page.settings, indent=2, ensure_ascii=False)
    parts = ["<h2>How to repeat it</h2>", '<div class="card">']
    parts.append(definitions(tuple(page.environment.items())))
    found = {n: s["seed"] for n, s in page.settings.items() if isinstance(s, dict) and "seed" in s}
    if found:
        rows = [(name, str(seed)) for name, seed in found.items()]
        parts.append(f"<details><summary>seeds</summary>{table(('stage', 'seed'), rows)}</details>")
    if page.runs:
        lines = "".join(f"<li>{_run(one)}</li>" for one in page.runs)
        parts.append(f"<details><summary>MLflow runs</summary><ul>{lines}</ul></details>")
    if page.settings:
        parts.append(f"<details><summary>recipe</summary><pre>{escape(recipe)}</pre></details>")
    report = escape(json.dumps(page.report, indent=2, ensure_ascii=False))
    parts.append(f"<details><summary>report.json</summary><pre>{report}</pre></details></div>")
    return "".join(parts)


def _run(one: Json) -> str:
    """A run's name and id, as a link where MLflow has a page for it."""
    text = f"{escape(one['name'])} {escape(one['run'])}"
    if not one.get("address", "").startswith(("http://", "https://")):
        return text
    return f'<a href="{escape(one["address"])}">{text}</a>'


def _interval(result: Json) -> str:
    low, high = result["ci95"]
    return f"[{low:+.3f}, {high:+.3f}]"


def _p_value(value: float) -> str:
    return f"= {value:.3f}" if value >= 0.001 else "< 0.001"


def _template(name: str) -> str:
    return files("components.evaluation").joinpath("templates", name).read_text("utf-8")
