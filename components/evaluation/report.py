"""The report of a run: report.json, whose keys are a contract, and report.html beside it.

Only what the run computed goes in: a stage that did not run leaves its keys out. Folders of
artifacts are read by their stage's name, so a run that ends early still gets its report.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

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
PACKAGES = ("realmat", "torch", "diffusers", "peft", "open-clip-torch", "mitsuba", "mlflow", "kfp")


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
) -> dict[str, Any]:
    """Write report.json, report.html and tables/*.csv into `output`; returns the report.

    Args:
        recipe: the recipe's name; `settings` its sections as plain values.
        stages: {"name", "seconds"} of every stage that ran, in order.
        artifacts: artifact folders by stage name; stages that did not run are absent.
        dataset: what synthetic_data made, of which there is one folder for each of its tasks.
        parameters: the URIs given for photos, environments and materials ("" = embedded).
        model: registration.json of the registered model, if there is one.
    """
    evaluation = artifacts.get("evaluation")
    details = read_json(evaluation / "details.json") if evaluation else {}
    gate = _gate(artifacts)
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
    page = Page(
        report=report,
        details=details,
        media=evaluation / "media" if evaluation else None,
        sources=sources(artifacts, dataset, parameters or {}, details),
        set_aside=files_set_aside(artifacts, dataset),
        gate=gate,
        settings=settings,
        environment={**hardware(), **versions()},
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    _write(output / "report.json", text + "\n")
    _write(output / "report.html", render_page(page))
    write_tables(output / "tables", report, details)
    return report


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


def _gate(artifacts: Mapping[str, Path]) -> dict[str, Any]:
    folder = artifacts.get("promotion_gate")
    return read_json(folder / "gate.json") if folder else {}


def hardware() -> dict[str, str]:
    """The machine in words."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": f"{_processor()}, {cores} cores usable",
        "memory": f"{memory:.0f} GB",
        "accelerator": _accelerator(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    }


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Installed versions of the packages that results depend on most."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return {"packages": ", ".join(found)}


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _accelerator() -> str:
    # Asked of the driver's own tool: importing torch for a name would take seconds.
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "none"
    query = [tool, "--query-gpu=name", "--format=csv,noheader"]
    # Nothing of what it runs comes from outside.
    answer = subprocess.run(query, capture_output=True, text=True, check=False)  # noqa: S603
    return ", ".join(answer.stdout.split("\n")).strip(", ") if answer.returncode == 0 else "none"


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
