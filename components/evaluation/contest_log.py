"""A contest in MLflow: a run of its own, with its settings, figures and files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.core.platform.tracking import stage_run

STAGE = "evaluate"
FILES = ("report.html", "report.json", "methods.csv", "differences.csv", "categories.csv",
         "preferences.csv")  # fmt: skip


def log_contest(report: Mapping[str, Any], folder: Path) -> str:
    """Writes to the tracking server that MLflow knows; returns the run's id."""
    request = report["request"]
    with stage_run(STAGE, parent="", resume="", tags={}) as tracker:
        tracker.log_params(
            {
                **{f"model.{name}": uri for name, uri in request["models"].items()},
                **{f"external.{name}": at for name, at in request["externals"].items()},
                **report["given"],
                "seed": report["seed"],
                "materials": report["materials"],
            }
        )
        for row in report["methods"]:
            numbers = {key: value for key, value in row.items() if isinstance(value, int | float)}
            tracker.log_metrics({f"{row['method']}.{key}": v for key, v in numbers.items()})
        for name in FILES:
            if (folder / name).is_file():
                tracker.log_artifact(folder / name)
        return tracker.run_id
