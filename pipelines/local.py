"""The pipeline on one machine: the compiled file, run by `kfp.local` in subprocesses.

What is compiled for a cluster is what runs here. The output folder holds the store of finished
stages (a second run reuses them, a killed one continues), MLflow's data, the log and the report:

    <output>/store/<stage>/<key>/         finished artifacts
    <output>/mlflow.db, mlartifacts/      unless MLFLOW_TRACKING_URI is set
    <output>/pipeline.yaml, run.log
    <output>/report/report.html, report.json
"""

import contextlib
import fcntl
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import yaml
from pydantic import BaseModel

from components.core.errors import UserError
from components.core.platform.aliases import CHAMPION
from components.core.platform.lifeline import lifeline
from components.core.platform.stage import PARENT_RUN
from components.core.platform.tracking_errors import tracking_errors
from pipelines.cluster import compile_pipeline
from pipelines.preflight import (
    check_examples,
    check_labels,
    check_preferences,
    check_sources,
    check_training,
)
from pipelines.recipe import Recipe
from pipelines.record import PipelineRecord
from pipelines.runs import CHECKOUT, mark_champion


class Sources(BaseModel, frozen=True):
    """What the user gives in place of the embedded data; "" is the embedded data.

    labels is the address of a labelling project, preferences a table, the others are folders, of
    photos, environments and materials several with commas between them; examples has one sub-folder
    for each category.
    """

    photos: str = ""
    examples: str = ""
    environments: str = ""
    materials: str = ""
    labels: str = ""
    preferences: str = ""


def run_local(
    recipe: Recipe,
    output: Path,
    sources: Sources,
    until: str = "",
    ablation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Runs a recipe's pipeline, up to the stage `until` if given.

    Returns its report and, under `store`, the keys of the artifacts by stage.

    ablation: see `PipelineRecord.report`.
    """
    check_sources(**sources.model_dump(exclude={"examples", "labels", "preferences"}))
    check_labels(recipe, sources.labels, until)
    check_preferences(sources.preferences)
    check_examples(sources.examples)
    check_training(recipe, until)
    output = output.resolve()
    scratch = output / "kfp"
    with locked(output), environment(output, scratch):
        pipeline = compile_pipeline(recipe, output / "pipeline.yaml")
        if until:
            truncate(pipeline, until)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        note = output / "mlflow_run"
        with tracking_errors(), PipelineRecord(recipe, sources.model_dump(), note) as record:
            with lifeline(scratch / "lifeline"), record.publishing():
                _execute(pipeline, scratch, sources, record, output / "run.log")
            report = record.report(output / "report", ablation)
            keys = record.keys()
        shutil.rmtree(scratch)
        local_registry = os.environ["MLFLOW_TRACKING_URI"].startswith("sqlite:")
        if report.get("model", {}).get("alias") == CHAMPION and local_registry:
            mark_champion(output)
    return {**report, "store": keys}


@contextlib.contextmanager
def locked(output: Path) -> Iterator[None]:
    """Holds the output folder for one run at a time."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        file = (output / ".lock").open("w")
    except OSError as error:
        raise UserError(
            f"The output folder {output} cannot be written ({error.strerror}): choose another "
            "--output."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"Another run is writing to {output}: wait for it, or choose another --output."
            ) from error
        yield


@contextlib.contextmanager
def environment(output: Path, scratch: Path) -> Iterator[None]:
    """Sets what the stages' processes inherit, and puts it back afterwards."""
    before = dict(os.environ)
    os.environ.update(
        REALMAT_STORE=str(output / "store"),
        REALMAT_RECORD=str(scratch / "record.jsonl"),
        REALMAT_JOURNAL=str(output / "journal"),
        REALMAT_LIFELINE=str(scratch / "lifeline"),
        PYTHONPATH=os.pathsep.join([str(CHECKOUT), *filter(None, [before.get("PYTHONPATH")])]),
        PYTHONUNBUFFERED="1",
        TOKENIZERS_PARALLELISM="false",
    )
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{output / 'mlflow.db'}")
    # OpenMP's threads wait for each other spinning, at first. Where another program has the core
    # that one of them needs, the others would burn the rest of the machine (a training step took
    # twelve times as long); without any spinning, as with OMP_WAIT_POLICY=PASSIVE, a step on a
    # quiet machine takes a third longer. So few turns cost nothing in either case.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    try:
        # kfp leaves a folder for every task behind; not below `output`, whose path may be too
        # long for the name of a socket.
        with tempfile.TemporaryDirectory(prefix="realmat-", ignore_cleanup_errors=True) as folder:
            os.environ["TMPDIR"] = folder
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def truncate(pipeline: Path, until: str) -> None:
    """Removes from a compiled pipeline what a stage does not need."""
    document, *platform = yaml.safe_load_all(pipeline.read_text())
    tasks = document["root"]["dag"]["tasks"]
    inner = {name: _names_in(document["components"], task) for name, task in tasks.items()}
    last = until.replace("_", "-")
    kept: set[str] = set()
    waiting = [name for name in tasks if name == last or last in inner[name]]
    while waiting:
        name = waiting.pop()
        kept.add(name)
        waiting.extend(set(tasks[name].get("dependentTasks", [])) - kept)
    document["root"]["dag"]["tasks"] = {name: tasks[name] for name in tasks if name in kept}
    pipeline.write_text(yaml.safe_dump_all([document, *platform], sort_keys=False))


def _names_in(components: Mapping[str, Any], task: Mapping[str, Any]) -> set[str]:
    """Tasks inside a task: a loop's or a branch's own tasks lie in its component."""
    own = components[task["componentRef"]["name"]].get("dag", {}).get("tasks", {})
    return set(own).union(*(_names_in(components, inner) for inner in own.values()))


def _execute(
    pipeline: Path, scratch: Path, sources: Sources, record: PipelineRecord, log: Path
) -> None:
    """Runs the compiled file; raises what stopped it."""
    from kfp import components, local

    # Images and resources mean nothing on one machine; kfp says so for every task.
    warnings.filterwarnings("ignore", category=RuntimeWarning, message=".*base image.*")
    warnings.filterwarnings("ignore", category=UserWarning, message=".*have no effect.*")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(scratch / "tasks"))
    component = components.load_component_from_file(str(pipeline))
    os.environ[PARENT_RUN] = record.run_id
    log.write_text("")
    try:
        with contextlib.redirect_stdout(Screen(sys.stdout, log)):
            component(**sources.model_dump(), parent_run=record.run_id)
    except RuntimeError as error:
        raise record.failure(log) from error


NOISE = (
    r"[\[{}]", "-{20}", "Traceback", "WARNING", "INFO", "DEBUG",
    r"\w+: \w+\( name=", "Output: ",  # kfp: what a task wrote
    r".*Warning: ", r"\w+Error\(",  # libraries: what they make do without
)  # fmt: skip


class Screen:
    """Everything goes to the log; the stages' own lines go to the screen, with the time passed.

    kfp.local indents what a task prints by four spaces, during loops by many more, and puts its own
    messages, and a failed task's traceback, between such lines. What a library logs from a thread
    may come when the pipeline has ended, since its handler keeps this stream: the log is opened for
    each text, so that there is no closed file to write to.
    """

    SHOWN = re.compile(
        r"(?:    |(?:    ){2,}(?=[\w ]+: \S))(?!\s|{noise})(?P<text>.+)".replace(
            "{noise}", "|".join(NOISE)
        )
    )

    def __init__(self, screen: TextIO, log: Path) -> None:
        self.screen = screen
        self.log = log
        self.started = time.monotonic()
        self._line = ""

    def write(self, text: str) -> int:
        """Takes text as a file does."""
        with self.log.open("a") as file:
            file.write(text)
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            shown = self.SHOWN.fullmatch(line)
            if shown:
                minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
                # Not print: kfp.local replaces it while a task runs.
                self.screen.write(f"{minutes:3d}:{seconds:02d}  {shown['text']}\n")
                self.screen.flush()
        return len(text)

    def flush(self) -> None:
        """Flushes the screen; the log is whole after each text."""
        self.screen.flush()

    def isatty(self) -> bool:
        """Says that no one watches this as a terminal."""
        return False
