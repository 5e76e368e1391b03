"""The report of a run on a cluster, composed by its last task and kept with its MLflow run.

On one machine whoever starts the run composes it, also for a run that ends early.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.core.platform.artifacts import located, read_manifest
from components.core.platform.pipeline_run import runs_of
from components.core.platform.tracking import quiet_mlflow
from components.evaluation.report import compose_report

SHARED = "synthetic_data"
"""The stage whose artifacts the report reads one by one, though several tasks share its work."""


def publish_report(
    run: str,
    *,
    recipe: str,
    settings: str,
    artifacts: Mapping[str, Path | Sequence[Path]],
    registered: str,
    parameters: Mapping[str, str],
) -> dict[str, Any]:
    """Logs report.json and report.html to the run, as `report/`; returns the report.

    Args:
        settings: the recipe as JSON.
        artifacts: folders by stage, in the pipeline's order; a list where tasks shared the work.
        registered: registration.json with the stage's seconds, as JSON: the last stage.
        parameters: the URIs given to the pipeline ("" = embedded).
    """
    quiet_mlflow()
    from mlflow import MlflowClient

    parts = {
        stage: [located(path) for path in ([given] if isinstance(given, Path) else given)]
        for stage, given in artifacts.items()
    }
    seconds = {
        stage: sum(read_manifest(folder).seconds for folder in folders)
        for stage, folders in parts.items()
    }
    model = json.loads(registered)
    seconds["registration"] = model["seconds"]
    client = MlflowClient()
    with tempfile.TemporaryDirectory() as scratch:
        report = compose_report(
            Path(scratch),
            recipe=recipe,
            settings=json.loads(settings),
            stages=[{"name": stage, "seconds": round(t, 3)} for stage, t in seconds.items()],
            artifacts={stage: found[0] for stage, found in parts.items() if stage != SHARED},
            dataset=parts.get(SHARED, []),
            parameters=parameters,
            model=model,
            runs=runs_of(client, run),
        )
        client.log_artifacts(run, scratch, "report")
    return report
