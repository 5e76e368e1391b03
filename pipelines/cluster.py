"""The pipeline on a cluster: compiled to one file, submitted to Kubeflow Pipelines."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from pipelines.recipe import Recipe


def compile_pipeline(recipe: Recipe, path: Path) -> Path:
    """Writes the compiled pipeline of a recipe to a .yaml file, whole or not at all."""
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"{path} must end in .yaml: a compiled pipeline is a YAML file.")
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        from kfp import compiler

        from pipelines.realmat import pipeline_of

        compiler.Compiler().compile(pipeline_of(recipe), str(partial))
        partial.rename(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): choose another -o."
        ) from error
    finally:
        with suppress(OSError):  # where nothing could be written, nothing can be removed
            partial.unlink()
    return path


def submit(
    recipe: Recipe, pipeline: Path, arguments: Mapping[str, str], host: str, wait: bool
) -> dict[str, Any]:
    """Starts a compiled pipeline on Kubeflow Pipelines and returns the run's id and, if awaited,
    its state."""
    from kfp.client import Client

    try:
        client = Client(host=host)
        run = client.create_run_from_pipeline_package(
            str(pipeline),
            arguments=dict(arguments),
            run_name=f"{recipe.name} recipe",
            experiment_name="realmat",
            enable_caching=False,
        )
        if not wait:
            return {"run": run.run_id}
        result = client.wait_for_run_completion(run.run_id, timeout=14 * 24 * 3600)
    except Exception as error:
        if _is_network(error):
            raise UserError(
                f"{host} does not answer: check --host ({_first_line(error)})."
            ) from error
        raise
    return {"run": run.run_id, "state": str(result.state)}


def _is_network(error: Exception) -> bool:
    from urllib3.exceptions import HTTPError

    return isinstance(error, (HTTPError, ConnectionError, TimeoutError))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
