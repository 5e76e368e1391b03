"""The MLflow run of a whole pipeline on a cluster: the parent of the stages' runs.

Nobody watches all pods there: the first task opens the run and the last one closes it, a stage that
fails marks it as failed, and one that is tried again as running.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from components.core.platform.tracking import ensure_experiment, quiet_mlflow
from components.core.platform.tracking_errors import tell

if TYPE_CHECKING:
    from mlflow import MlflowClient

OWNED = "realmat.pipeline"
"""Tag of runs that the pipeline opened itself, which are its own to close."""


def open_pipeline_run(recipe: str, settings: str) -> str:
    """Opens the run of a recipe, given with its settings as JSON, and returns its id."""
    client = _client()
    run = client.create_run(ensure_experiment(), run_name=recipe, tags={OWNED: recipe})
    client.log_param(run.info.run_id, "recipe", recipe)
    client.log_dict(run.info.run_id, json.loads(settings), "recipe.json")
    return str(run.info.run_id)


def close_pipeline_run(run: str) -> None:
    """Marks the run as finished."""
    _client().set_terminated(run, "FINISHED")


@contextmanager
def watching(client: "MlflowClient", parent: str) -> Iterator[None]:
    """Lets the pipeline's run say that it has failed while this stage has, and no longer."""
    if not parent or OWNED not in client.get_run(parent).data.tags:
        yield
        return
    client.update_run(parent, status="RUNNING")
    try:
        yield
    except BaseException:
        tell("the pipeline failed", lambda: client.set_terminated(parent, "FAILED"))
        raise


def runs_of(client: "MlflowClient", run: str) -> list[dict[str, str]]:
    """{"name", "run", "address"} of a pipeline's run and those below it.

    The address is of MLflow's page, where it is a server; "" for a file. It holds no password.
    """
    import mlflow

    parent = client.get_run(run)
    experiment = parent.info.experiment_id
    below = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run}'")
    server = urlsplit(mlflow.get_tracking_uri())
    host = server.netloc.rpartition("@")[2]
    web = f"{server.scheme}://{host}{server.path.rstrip('/')}/#/experiments/{experiment}/runs"
    return [
        {
            "name": str(one.info.run_name),
            "run": str(one.info.run_id),
            "address": f"{web}/{one.info.run_id}" if server.scheme in ("http", "https") else "",
        }
        for one in (parent, *reversed(below))
    ]


def _client() -> "MlflowClient":
    quiet_mlflow()
    from mlflow import MlflowClient

    return MlflowClient()
