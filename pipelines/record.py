"""The record of one local run: its MLflow run, what became of each stage, the report."""

import contextlib
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from components.core.errors import UserError
from components.core.platform.journal import Publisher
from components.core.platform.pipeline_run import runs_of
from components.core.platform.stage import JOURNAL, RECORD
from components.core.platform.tracking import ensure_experiment, quiet_mlflow
from components.core.platform.tracking_errors import explained, tell
from pipelines.recipe import STAGES, Recipe
from pipelines.runs import StageFailed

SECONDS_BETWEEN_POLLS = 1.0
MAX_TAG = 5000  # MLflow's limit
SHARED = "synthetic_data"  # the stage that several tasks may share


def culprit(lines: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The line that says why a run stopped. Parts of a stage that ran beside it may have written
    later ones; a killed task has begun and never ended."""
    for state in ("refused", "failed"):
        found = [line for line in lines if line["state"] == state]
        if found:
            return found[-1]
    begun = Counter(line["stage"] for line in lines if line["state"] == "started")
    begun.subtract(line["stage"] for line in lines if line["state"] == "finished")
    for line in reversed(lines):
        if begun[line["stage"]] > 0:
            return {"stage": line["stage"], "state": "started"}
    return {"stage": "the pipeline", "state": "failed", "reason": ""}


class PipelineRecord:
    """Opens the parent run in MLflow, and closes it with how the pipeline ended."""

    def __init__(self, recipe: Recipe, parameters: Mapping[str, str], note: Path) -> None:
        """note: file that names the open run, by which the next one closes it after a kill."""
        quiet_mlflow()
        import mlflow

        quiet_mlflow()
        self.recipe = recipe
        self.parameters = parameters
        self.note = note
        self.client = mlflow.MlflowClient()
        self.run_id = ""

    def __enter__(self) -> "PipelineRecord":
        experiment = ensure_experiment()
        self._close_killed(experiment)
        run = self.client.create_run(experiment, run_name=self.recipe.name)
        self.run_id = run.info.run_id
        self.note.write_text(self.run_id)
        for name, value in {"recipe": self.recipe.name, **self.parameters}.items():
            self.client.log_param(self.run_id, name, value)
        self.client.log_dict(self.run_id, self.recipe.model_dump(mode="json"), "recipe.json")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._close("FINISHED")
        elif explained(error) is None:  # else MLflow is away: there is nobody to tell
            tell("the run failed", lambda: self._close("FAILED"))

    def _close(self, status: str) -> None:
        for stage, lines in self.finished().items():
            hashes = " ".join(line["content_hash"] for line in lines)
            self.client.set_tag(self.run_id, f"output.{stage}", hashes[:MAX_TAG])
        self.client.set_terminated(self.run_id, status)
        self.note.unlink()

    def _close_killed(self, experiment: str) -> None:
        """Marks runs that a killed process left open; the output's lock says that none is alive.

        On a server others run too, so there it is the noted run alone; in the output's own database
        all of them, also those of stages.
        """
        filters = "attributes.status = 'RUNNING'"
        if not os.environ["MLFLOW_TRACKING_URI"].startswith("sqlite:"):
            if not self.note.exists():
                return
            filters += f" and attributes.run_id = '{self.note.read_text().strip()}'"
        for run in self.client.search_runs([experiment], filters):
            self.client.set_terminated(run.info.run_id, "KILLED")

    @contextlib.contextmanager
    def publishing(self) -> Iterator[None]:
        """Sends the stages' journals to MLflow while they run."""
        publisher = Publisher(self.client, Path(os.environ[JOURNAL]))
        ended = threading.Event()

        def poll() -> None:
            while not ended.wait(SECONDS_BETWEEN_POLLS):
                try:
                    publisher.poll()
                except Exception as error:
                    # Nothing is lost: the journal keeps what MLflow does not take now.
                    if explained(error) is None:
                        raise
                    print(f"tracking: {explained(error)}", flush=True)

        thread = threading.Thread(target=poll, name="journal", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            ended.set()
            thread.join()
            tell("the stages reported more", publisher.close)  # the next run sends it
            raise
        ended.set()
        thread.join()
        publisher.close()

    def lines(self) -> list[dict[str, Any]]:
        """Returns what the stages have recorded so far."""
        path = Path(os.environ[RECORD])
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def finished(self) -> dict[str, list[dict[str, Any]]]:
        """Returns the lines of finished stages, in the pipeline's order; several for a stage whose
        work tasks shared."""
        done = [line for line in self.lines() if line["state"] == "finished"]
        lines = {stage: [line for line in done if line["stage"] == stage] for stage in STAGES}
        return {stage: found for stage, found in lines.items() if found}

    def keys(self) -> dict[str, list[str]]:
        """Returns under which keys the store keeps what the finished stages made."""
        return {s: [line["key"] for line in lines] for s, lines in self.finished().items()}

    def failure(self, log: Path) -> Exception:
        """Returns the exception that says why the pipeline stopped."""
        last = culprit(self.lines())
        if last["state"] == "refused":
            return UserError(f"{last['stage']}: {last['reason']}")
        if last["state"] == "started":
            reason = "its process was ended from outside, perhaps for want of memory"
        else:
            reason = str(last.get("reason", "")).strip() or "no message"
        return StageFailed(f"{last['stage']} failed ({reason.splitlines()[0]}); see {log}")

    def report(self, folder: Path, ablation: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Writes report.json and report.html of the stages that ran, and returns the report.

        ablation: what `realmat ablate prompts` measured beside the run, to be shown with it.
        """
        from components.evaluation.report import compose_report

        done = self.finished()
        folders = {s: [Path(line["artifact"]) for line in lines] for s, lines in done.items()}
        seconds = {s: sum(line["seconds"] for line in lines) for s, lines in done.items()}
        made = folders.get("registration", [])
        model = json.loads((made[0] / "registration.json").read_text()) if made else {}
        report = compose_report(
            folder,
            recipe=self.recipe.name,
            settings=self.recipe.model_dump(mode="json"),
            stages=[{"name": s, "seconds": round(t, 3)} for s, t in seconds.items()],
            artifacts={s: found[0] for s, found in folders.items() if s != SHARED},
            dataset=folders.get(SHARED, []),
            parameters=dict(self.parameters),
            model=model,
            runs=runs_of(self.client, self.run_id),
            ablation=ablation,
        )
        self.client.log_artifacts(self.run_id, str(folder), "report")
        return report
