"""Runs one stage: once for the same configuration, inputs and code.

A stage's key is a hash of its configuration, the content of its inputs, the listings of the
folders it is given and the source it runs. A finished artifact with that key in the store is
reused before anything heavy is imported; a killed stage finds its checkpoints in its work folder,
also after a change of settings that it lets change (see `work_key`). Kubeflow's own cache cannot
do this: its key leaves out the code.
"""

import importlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

from components.core.errors import UserError
from components.core.platform.archive import archive_uri, fetch, keep
from components.core.platform.artifacts import (
    MANIFEST,
    hash_text,
    link,
    located,
    point,
    read_manifest,
    write_manifest,
)
from components.core.platform.full_disk import naming_full_disk
from components.core.platform.journal import RUN_NOTE, journal
from components.core.platform.key import stage_key, work_key
from components.core.platform.lifeline import follow_lifeline
from components.core.platform.ownership import owning
from components.core.platform.pipeline_run import watching
from components.core.platform.settings import log_settings
from components.core.platform.tracking import StageTracker, stage_run
from components.core.platform.tracking_errors import tracking_errors

STORE = "REALMAT_STORE"  # folder of finished stages, which all tasks see; else beside the outputs
PARENT_RUN = "REALMAT_PARENT_RUN"  # MLflow run of the pipeline, where one machine runs all of it
JOURNAL = "REALMAT_JOURNAL"  # folder of journals that another process sends to MLflow
RECORD = "REALMAT_RECORD"  # file that receives one JSON line for every stage
Input = Path | Sequence[Path]
DATASETS = ("material-grids", "generated-materials", "photographs", "realism-labels", "prompts")


def run_task(
    stage: str,
    *,
    config: str,
    inputs: Mapping[str, str | Sequence[str]],
    output: str,
    parameters: Mapping[str, str] | None = None,
    settings: Mapping[str, object] | None = None,
    parent_run: str = "",
    cached: bool = True,
) -> None:
    """Runs a stage as the body of a pipeline task: a user's error is one sentence and exit 2.

    `settings` go on top of `config`: what the pipeline alone knows, such as a task's part.
    """
    follow_lifeline()
    try:
        with tracking_errors():
            execute(
                stage,
                json.dumps({**json.loads(config), **(settings or {})}),
                inputs={name: _paths(given) for name, given in inputs.items()},
                output=Path(output),
                parameters=parameters or {},
                parent_run=parent_run,
                cached=cached,
            )
    except UserError as error:
        record({"stage": stage, "state": "refused", "reason": str(error)})
        print(f"{stage}: {error}", flush=True)
        sys.exit(2)
    except Exception as error:
        record({"stage": stage, "state": "failed", "reason": f"{type(error).__name__}: {error}"})
        raise


def _paths(given: str | Sequence[str]) -> Input:
    return Path(given) if isinstance(given, str) else [Path(path) for path in given]


def execute(
    stage: str,
    config_json: str,
    *,
    inputs: Mapping[str, Input],
    output: Path,
    parameters: Mapping[str, str],
    parent_run: str = "",
    cached: bool = True,
) -> None:
    """Writes the stage's artifact to `output`, from the store or by running the stage.

    Args:
        stage: name of the folder below `components`.
        config_json: the stage's section of the recipe.
        inputs: artifact folders by the stage's argument names; a list where several tasks of a
            stage each made a part.
        parameters: URIs by the stage's argument names; "" stands for embedded data.
        cached: False for a stage whose effect lies outside its artifact, such as registration.
    """
    record({"stage": stage, "state": "started"})
    config = load_config(stage, config_json)
    inputs = {name: _located(given) for name, given in inputs.items()}
    hashes = {name: content_hash(given) for name, given in inputs.items()}
    key = stage_key(stage, config, hashes, parameters)
    folder = Path(os.environ.get(STORE) or output.parent / ".store") / stage
    finished = folder / key
    work = folder / f"{work_key(key, stage, config, hashes, parameters)}.work"
    reused = cached and (finished / MANIFEST).is_file()
    if not reused:
        with naming_full_disk(folder), owning(stage, work):
            # Another run may have made it in between.
            reused = cached and ((finished / MANIFEST).is_file() or fetch(stage, key, finished))
            if not reused:
                _run(
                    stage, config, inputs, hashes, parameters, parent_run, finished, work,
                    cached=cached,
                )  # fmt: skip
    if reused:
        print(f"{stage}: reused {key}", flush=True)
    archived = keep(stage, key, finished, fresh=not reused)
    if os.environ.get(STORE):
        point(finished, output)
    else:
        link(finished, output)
    manifest = read_manifest(finished)
    record(
        {
            "stage": stage,
            "state": "finished",
            "key": key,
            "artifact": str(finished),
            "archived": archived,
            "reused": reused,
            "kind": manifest.kind,
            "content_hash": manifest.content_hash,
            "seconds": manifest.seconds,
        }
    )


def folders(given: Input) -> list[Path]:
    """The artifact folders of an input."""
    return [given] if isinstance(given, Path) else list(given)


def _located(given: Input) -> Input:
    return located(given) if isinstance(given, Path) else [located(path) for path in given]


def content_hash(given: Input) -> str:
    """What an input holds, as one hash."""
    if isinstance(given, Path):
        return read_manifest(given).content_hash
    return hash_text(" ".join(read_manifest(path).content_hash for path in given))


def load_config(stage: str, config_json: str) -> BaseModel:
    """Reads a stage's section with the stage's own `Config`, which imports nothing heavy."""
    model: type[BaseModel] = importlib.import_module(f"components.{stage}.config").Config
    return model.model_validate_json(config_json)


def _run(
    stage: str,
    config: BaseModel,
    inputs: Mapping[str, Input],
    hashes: Mapping[str, str],
    parameters: Mapping[str, str],
    parent_run: str,
    finished: Path,
    work: Path,
    *,
    cached: bool,
) -> None:
    started = time.monotonic()
    resumed = work.exists()
    work.mkdir(parents=True, exist_ok=True)
    for leftover in finished.parent.glob(f".{finished.name}.*"):
        shutil.rmtree(leftover)  # half an artifact of a killed attempt
    print(f"{stage}: {'resumed' if resumed else 'started'} {finished.name}", flush=True)
    tags = {f"input.{name}": value for name, value in hashes.items()}
    tags |= {f"uri.{name}": uri for name, uri in parameters.items() if uri}
    if archived := archive_uri(stage, finished.name):
        tags["archive"] = archived
    with _tracker(stage, parent_run, work, tags, direct=not cached) as tracker:
        for name, given in inputs.items():
            for path in folders(given):
                manifest = read_manifest(path)
                if manifest.kind in DATASETS:
                    tracker.log_dataset(path, manifest.content_hash, context=name)
        log_settings(tracker, stage, config, work)
        module = importlib.import_module(f"components.{stage}.stage")
        with naming_full_disk(finished.parent):
            module.run(config, **inputs, **parameters, output=finished, work=work, tracker=tracker)
        seconds = time.monotonic() - started
        manifest = read_manifest(finished).model_copy(update={"seconds": round(seconds, 3)})
        write_manifest(finished, manifest)
        tracker.log_metrics({"seconds": manifest.seconds})
        tracker.set_tag("output", manifest.content_hash)
        if manifest.kind in DATASETS:
            tracker.log_dataset(finished, manifest.content_hash, context="output")
    shutil.rmtree(work)


@contextmanager
def _tracker(
    stage: str, parent_run: str, work: Path, tags: Mapping[str, str], *, direct: bool
) -> Iterator[StageTracker]:
    """Opens the stage's journal where one is kept, else (or if `direct`) its MLflow run."""
    folder = os.environ.get(JOURNAL, "")
    # In a loop, kfp.local gives a task the loop's item for what an earlier task returned.
    parent = os.environ.get(PARENT_RUN) or parent_run
    if folder and not direct:
        with journal(Path(folder), stage, work, parent, tags) as paper:
            yield paper
        return
    note = work / RUN_NOTE
    resume = note.read_text() if note.exists() else ""
    with stage_run(stage, parent=parent, resume=resume, tags=tags) as tracker:
        note.write_text(tracker.run_id)
        with watching(tracker.client, parent):
            yield tracker


def record(line: Mapping[str, object]) -> None:
    """Appends what became of a stage to the record of the run, if one is kept."""
    path = os.environ.get(RECORD)
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps(line) + "\n")
