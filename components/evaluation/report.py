"""The report of a run: report.json, whose keys are a contract, and report.html beside it.

Only what the run computed goes in: a stage that did not run leaves its keys out. Folders of
artifacts are read by their stage's name, so a run that ends early still gets its report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.core.platform.machine import hardware, versions
from components.evaluation import paper
from components.evaluation.categories import by_category
from components.evaluation.page import Page, render_page
from components.evaluation.sources import files_set_aside, sources
from components.evaluation.summaries import (
    ddpo_summary,
    read_json,
    reward_curves,
    reward_summary,
)
from components.evaluation.tables import write_tables

EVALUATION_KEYS = ("before_after", "gold", "clip_score", "diversity")
MODEL_KEYS = ("name", "version", "alias")


def compose_report(
    output: Path,
    *,
    recipe: str,
    settings: Mapping[str, Any],
    stages: Sequence[Mapping[str, Any]],
    artifacts: Mapping[str, Path],
    dataset: Sequence[Path] = (),
    parameters: Mapping[str, str] | None = None,
    model: Mapping[str, Any] | None = None,
    runs: Sequence[Mapping[str, str]] = (),
    ablation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write report.json, report.html and tables/*.csv into `output`; returns the report.

    Args:
        recipe: the recipe's name; `settings` its sections as plain values.
        stages: {"name", "seconds"} of every stage that ran, in order.
        artifacts: artifact folders by stage name; stages that did not run are absent.
        dataset: what synthetic_data made, of which there is one folder for each of its tasks.
        parameters: the URIs given for photos, environments and materials ("" = embedded).
        model: registration.json of the registered model, if there is one.
        runs: {"name", "run", "address"} of MLflow's runs; no address where it has no web page.
        ablation: of the number of prompts, where there is one (`read_ablation`).
    """
    evaluation = artifacts.get("evaluation")
    details = read_json(evaluation / "details.json") if evaluation else {}
    gate = _gate(artifacts)
    details = {
        **details,
        "strips": _strips(artifacts) is not None,
        "study": gate.get("study", {}),
        "ablation": dict(ablation or {}),
    }
    if "ddpo_lora" in artifacts:
        details = {**details, "curves": reward_curves(artifacts["ddpo_lora"])}
    if "reward_training" in artifacts:
        details = {**details, "scorer": read_json(artifacts["reward_training"] / "metrics.json")}
    report = {
        "recipe": recipe,
        "stages": [{"name": s["name"], "seconds": s["seconds"]} for s in stages],
        **_measured(artifacts),
        **({"model": {key: model[key] for key in MODEL_KEYS}} if model else {}),
    }
    links = [dict(run) for run in runs]
    page = Page(
        report=report,
        details=details,
        media=evaluation / "media" if evaluation else None,
        strips=_strips(artifacts),
        sources=sources(artifacts, dataset, parameters or {}, details),
        set_aside=files_set_aside(artifacts, dataset),
        gate=gate,
        settings=settings,
        runs=links,
        environment={**hardware(), **versions()},
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    _write(output / "report.json", text + "\n")
    more = json.dumps(details_of(page, links), indent=2, ensure_ascii=False, allow_nan=False)
    _write(output / "report-details.json", more + "\n")
    _write(output / "report.html", render_page(page))
    write_tables(output / "tables", report, details)
    return report


def details_of(page: Page, runs: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What report.json, whose keys are fixed, has no place for; only what this run has."""
    found = {
        "gate": dict(page.gate),
        "categories": by_category(page.details.get("pairs", [])),
        "paper": [row.as_dict() for row in paper.rows(page.report, page.details)],
        "environment": dict(page.environment),
        "seeds": seeds(page.settings),
        "runs": list(runs),
        "data": dict(page.details.get("data", {})),
        "ablation": page.details.get("ablation", {}),
        "created": page.created,
    }
    return {name: value for name, value in found.items() if value}


def seeds(settings: Mapping[str, Any]) -> dict[str, int]:
    """The recipe's seed and each stage's own, which follows from it."""
    return {
        name: section["seed"]
        for name, section in settings.items()
        if isinstance(section, Mapping) and "seed" in section
    }


def _measured(artifacts: Mapping[str, Path]) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    if "reward_training" in artifacts:
        keys["reward"] = reward_summary(artifacts["reward_training"])
    if "ddpo_lora" in artifacts:
        keys["ddpo"] = ddpo_summary(artifacts["ddpo_lora"])
    if "evaluation" in artifacts:
        found = read_json(artifacts["evaluation"] / "evaluation.json")
        keys |= {key: found[key] for key in EVALUATION_KEYS if key in found}
    return keys


def _strips(artifacts: Mapping[str, Path]) -> Path | None:
    file = artifacts["ddpo_lora"] / "strips.png" if "ddpo_lora" in artifacts else None
    return file if file is not None and file.is_file() else None


def _gate(artifacts: Mapping[str, Path]) -> dict[str, Any]:
    folder = artifacts.get("promotion_gate")
    return read_json(folder / "gate.json") if folder else {}


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
