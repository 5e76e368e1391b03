"""Where a stage writes what it did: parameters, metrics by step, figures, lineage.

A stage receives a `Tracker` as an argument and knows no more. `MlflowTracker` writes to one
MLflow run, `JournalTracker` (journal.py) to a file from which a run is filled; `NullTracker` is
for tests and notebooks.
"""

import json
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from components.core.platform.system_metrics import are_wanted
from components.core.platform.tracking_errors import tell

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from numpy.typing import NDArray

EXPERIMENT = "realmat"
SECONDS_BETWEEN_LINES = 5.0


class Tracker(Protocol):
    """What a stage may report. Names of files are relative paths such as `figures/loss.png`."""

    def log_params(self, params: Mapping[str, Any]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None: ...

    def log_figure(self, figure: "Figure", name: str) -> None: ...

    def log_image(self, image: "NDArray[np.uint8]", name: str) -> None: ...

    def log_artifact(self, path: Path) -> None: ...

    def log_dict(self, values: Mapping[str, Any], name: str) -> None: ...


class StageTracker(Tracker, Protocol):
    """What the code around a stage reports besides: lineage."""

    def log_dataset(self, path: Path, content_hash: str, context: str) -> None: ...

    def set_tag(self, name: str, value: str) -> None: ...


class NullTracker:
    """Forgets everything."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Forgets parameters."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Forgets metrics."""

    def log_figure(self, figure: "Figure", name: str) -> None:
        """Forgets a figure."""

    def log_image(self, image: "NDArray[np.uint8]", name: str) -> None:
        """Forgets an image."""

    def log_artifact(self, path: Path) -> None:
        """Forgets a file or folder."""

    def log_dict(self, values: Mapping[str, Any], name: str) -> None:
        """Forgets a table of values."""


class Lines:
    """Prints metrics as plain lines, of stepped ones at most one every five seconds."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._last = 0.0

    def show(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Prints the metrics unless a line was printed a moment ago."""
        now = time.monotonic()
        if step is None or now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            print(format_metrics(self.stage, metrics, step), flush=True)


class MlflowTracker:
    """Writes to one MLflow run, and metrics as plain lines to the log if `lines` is given."""

    def __init__(
        self, client: "MlflowClient", run_id: str, stage: str, lines: Lines | None
    ) -> None:
        self.client = client
        self.run_id = run_id
        self.stage = stage
        self.lines = lines

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Logs parameters; a resumed run that logs the same value again is fine."""
        from mlflow.entities import Param

        entities = [Param(name, str(value)[:6000]) for name, value in params.items()]
        self.client.log_batch(self.run_id, params=entities)

    def log_metrics(
        self, metrics: Mapping[str, float], step: int | None = None, time_ms: int | None = None
    ) -> None:
        """Logs metrics of one step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000) if time_ms is None else time_ms
        entities = [Metric(name, float(value), now, step or 0) for name, value in metrics.items()]
        self.client.log_batch(self.run_id, metrics=entities)
        if self.lines is not None:
            self.lines.show(metrics, step)

    def log_figure(self, figure: "Figure", name: str) -> None:
        """Logs a matplotlib figure as a picture called `name`."""
        self.client.log_figure(self.run_id, figure, name)

    def log_image(self, image: "NDArray[np.uint8]", name: str) -> None:
        """Logs an (H, W, 3) uint8 image as a PNG called `name`."""
        self.client.log_image(self.run_id, image, name)

    def log_artifact(self, path: Path) -> None:
        """Logs a file, or a folder with all its files."""
        if path.is_dir():
            self.client.log_artifacts(self.run_id, str(path), path.name)
        else:
            self.client.log_artifact(self.run_id, str(path))

    def log_dict(self, values: Mapping[str, Any], name: str) -> None:
        """Logs values as a JSON file called `name`."""
        self.client.log_dict(self.run_id, dict(values), name)

    def log_dataset(self, path: Path, content_hash: str, context: str) -> None:
        """Logs an artifact as a dataset that the run has read or written (`context` says which)."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=context,
            digest=content_hash[:32],
            source_type="local",
            source=json.dumps({"uri": path.resolve().as_uri()}),
        )
        tags = [InputTag("mlflow.data.context", context)]
        self.client.log_inputs(self.run_id, [DatasetInput(dataset, tags)])

    def set_tag(self, name: str, value: str) -> None:
        """Sets a tag of the run."""
        self.client.set_tag(self.run_id, name, value)


def format_metrics(stage: str, metrics: Mapping[str, float], step: int | None) -> str:
    """Returns one line such as `ddpo_lora step 3: train_reward 0.41, heldout_reward 0.38`."""
    values = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
    return f"{stage}{'' if step is None else f' step {step}'}: {values}"


def quiet_mlflow() -> None:
    """Keeps MLflow's and its migrations' chatter out of the log."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in ("alembic", "mlflow", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"mlflow\..*")


@contextmanager
def stage_run(
    stage: str, *, parent: str, resume: str, tags: Mapping[str, str]
) -> Iterator[MlflowTracker]:
    """Opens the MLflow run of one stage, nested below the pipeline's run and active meanwhile.

    What the machine does meanwhile is logged too (`system_metrics`).

    Args:
        parent: the id of the pipeline's run, or "" to stand alone.
        resume: the id of the run of a killed attempt, whose metric history is continued, or "".
        tags: lineage, such as the content hashes of the inputs.
    """
    quiet_mlflow()
    import mlflow

    quiet_mlflow()  # importing MLflow sets its loggers up again
    client = mlflow.MlflowClient()
    run_id = open_run(client, stage, parent, resume, tags)
    mlflow.start_run(run_id=run_id, log_system_metrics=are_wanted())
    try:
        yield MlflowTracker(client, run_id, stage, lines=Lines(stage))
    except BaseException:
        tell(f"{stage} failed", lambda: mlflow.end_run("FAILED"))
        raise
    mlflow.end_run()


def open_run(
    client: "MlflowClient", stage: str, parent: str, resume: str, tags: Mapping[str, str]
) -> str:
    """Returns the id of a stage's run: a new one, or `resume` while it still exists."""
    from mlflow.exceptions import MlflowException

    run_id = ""
    if resume:
        try:
            run_id = client.get_run(resume).info.run_id
            client.update_run(run_id, status="RUNNING")
        except MlflowException:
            run_id = ""  # the tracking store was changed or removed since
    if not run_id:
        run_id = client.create_run(ensure_experiment(), run_name=stage).info.run_id
    lineage = {**tags, "stage": stage}
    if parent:
        lineage["mlflow.parentRunId"] = parent
    for name, value in lineage.items():
        client.set_tag(run_id, name, value)
    return run_id


def ensure_experiment(name: str = EXPERIMENT) -> str:
    """Returns the id of the project's experiment, created on first use.

    With MLflow data in a local folder the experiment's files lie beside its database.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    uri = mlflow.get_tracking_uri()
    location = None
    if uri.startswith("sqlite:///"):
        location = (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts").resolve().as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:  # another stage created it in between
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)
