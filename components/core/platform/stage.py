"""Runs one stage: once for the same configuration, inputs and code.

A stage's key is a hash of its configuration, the content of its inputs, the listings of the
folders it is given and the source it runs. A finished artifact with that key in the store is
reused before anything heavy is imported; a killed stage finds its checkpoints in the key's work
folder. Kubeflow's own cache cannot do this: its key leaves out the code.
"""

import errno
import importlib
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel

from components.core.errors import UserError
from components.core.platform.artifacts import (
    MANIFEST,
    canonical_json,
    hash_file,
    hash_text,
    put_in_place,
    read_manifest,
    write_manifest,
)
from components.core.platform.storage import fingerprint

STORE = "REALMAT_STORE"  # folder of finished stages; beside the outputs when unset
PARENT_RUN = "REALMAT_PARENT_RUN"  # MLflow run of the pipeline
RECORD = "REALMAT_RECORD"  # file that receives one JSON line for every stage
PACKAGES = ("diffusers", "mitsuba", "numpy", "open-clip-torch", "peft", "torch", "transformers")
SHARED_SOURCE = ("components.core",)
DATASETS = ("material-grids", "generated-materials", "photographs", "realism-labels", "prompts")


def run_task(
    stage: str,
    *,
    config: str,
    inputs: Mapping[str, str],
    output: str,
    parameters: Mapping[str, str] | None = None,
    parent_run: str = "",
    cached: bool = True,
) -> None:
    """Runs a stage as the body of a pipeline task: a user's error is one sentence and exit 2."""
    try:
        execute(
            stage,
            config,
            inputs={name: Path(path) for name, path in inputs.items()},
            output=Path(output),
            parameters=parameters or {},
            parent_run=parent_run,
            cached=cached,
        )
    except UserError as error:
        record({"stage": stage, "error": str(error)})
        print(f"{stage}: {error}", flush=True)
        sys.exit(2)


def execute(
    stage: str,
    config_json: str,
    *,
    inputs: Mapping[str, Path],
    output: Path,
    parameters: Mapping[str, str],
    parent_run: str = "",
    cached: bool = True,
) -> None:
    """Writes the stage's artifact to `output`, from the store or by running the stage.

    Args:
        stage: name of the folder below `components`.
        config_json: the stage's section of the recipe.
        inputs: artifact folders by the stage's argument names.
        parameters: URIs by the stage's argument names; "" stands for embedded data.
        cached: False for a stage whose effect lies outside its artifact, such as registration.
    """
    config = load_config(stage, config_json)
    hashes = {name: read_manifest(path).content_hash for name, path in inputs.items()}
    key = stage_key(stage, config, hashes, parameters)
    folder = Path(os.environ.get(STORE) or output.parent / ".store") / stage
    finished, work = folder / key, folder / f"{key}.work"
    reused = cached and (finished / MANIFEST).is_file()
    if reused:
        print(f"{stage}: reused {key}", flush=True)
    else:
        _run(stage, config, inputs, hashes, parameters, parent_run, finished, work)
    link(finished, output)
    manifest = read_manifest(finished)
    record(
        {
            "stage": stage,
            "key": key,
            "artifact": str(finished),
            "reused": reused,
            "kind": manifest.kind,
            "content_hash": manifest.content_hash,
            "seconds": manifest.seconds,
        }
    )


def load_config(stage: str, config_json: str) -> BaseModel:
    """Reads a stage's section with the stage's own `Config`, which imports nothing heavy."""
    model: type[BaseModel] = importlib.import_module(f"components.{stage}.config").Config
    return model.model_validate_json(config_json)


def stage_key(
    stage: str, config: BaseModel, hashes: Mapping[str, str], parameters: Mapping[str, str]
) -> str:
    """Returns the name under which the result of exactly this work is stored."""
    parts = {
        "stage": stage,
        "config": canonical_json(config),
        "inputs": dict(hashes),
        "parameters": {name: fingerprint(uri) for name, uri in parameters.items()},
        "source": source_hash(stage),
        "packages": {name: _version(name) for name in PACKAGES},
    }
    return hash_text(json.dumps(parts, sort_keys=True))[:20]


def source_hash(stage: str) -> str:
    """Returns a hash of the code and shipped weights that a stage's result depends on."""
    packages = [*SHARED_SOURCE, f"components.{stage}"]
    if stage == "annotation_sync":
        packages.append("labeling")
    return hash_text("\n".join(line for package in packages for line in _file_hashes(package)))


def _file_hashes(package: str) -> Iterable[str]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        return
    for location in spec.submodule_search_locations:
        for path in sorted(Path(location).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                yield f"{package} {path.relative_to(location).as_posix()} {hash_file(path)}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _run(
    stage: str,
    config: BaseModel,
    inputs: Mapping[str, Path],
    hashes: Mapping[str, str],
    parameters: Mapping[str, str],
    parent_run: str,
    finished: Path,
    work: Path,
) -> None:
    from components.core.platform.tracking import stage_run

    started = time.monotonic()
    resumed = work.exists()
    work.mkdir(parents=True, exist_ok=True)
    note = work / "mlflow_run"
    resume = note.read_text() if note.exists() else ""
    print(f"{stage}: {'resumed' if resumed else 'started'} {finished.name}", flush=True)
    tags = {f"input.{name}": value for name, value in hashes.items()}
    tags |= {f"uri.{name}": uri for name, uri in parameters.items() if uri}
    parent = parent_run or os.environ.get(PARENT_RUN, "")
    with stage_run(stage, parent=parent, resume=resume, tags=tags) as tracker:
        note.write_text(tracker.run_id)
        for name, path in inputs.items():
            if read_manifest(path).kind in DATASETS:
                tracker.log_dataset(path, hashes[name], context=name)
        tracker.log_params(flat(config.model_dump(mode="json")))
        module = importlib.import_module(f"components.{stage}.stage")
        try:
            module.run(config, **inputs, **parameters, output=finished, work=work, tracker=tracker)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(
                    f"No space left on the disk of {finished.parent}: free some space, or choose "
                    "another --output, and start again."
                ) from error
            raise
        seconds = time.monotonic() - started
        manifest = read_manifest(finished).model_copy(update={"seconds": round(seconds, 3)})
        write_manifest(finished, manifest)
        tracker.log_metrics({"seconds": manifest.seconds})
        tracker.client.set_tag(tracker.run_id, "output", manifest.content_hash)
        if manifest.kind in DATASETS:
            tracker.log_dataset(finished, manifest.content_hash, context="output")
    shutil.rmtree(work)
    print(f"{stage}: finished in {seconds:.1f} s", flush=True)


def flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Returns nested settings as `section.key` names."""
    result: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result


def link(source: Path, target: Path) -> None:
    """Makes the artifact appear at `target`, by hard links where the file system has them."""
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, partial, copy_function=_link_file)
    put_in_place(partial, target)


def _link_file(source: str, target: str) -> str:
    with suppress(OSError):
        os.link(source, target)
        return target
    return str(shutil.copy2(source, target))


def record(line: Mapping[str, object]) -> None:
    """Appends what became of a stage to the record of the run, if one is kept."""
    path = os.environ.get(RECORD)
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps(line) + "\n")
