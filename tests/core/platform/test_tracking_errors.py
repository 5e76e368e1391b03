"""What a request to the tracking server that failed means, whoever made it."""

from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests

from components.core.platform.pipeline_run import open_pipeline_run, watching
from components.core.platform.tracking import stage_run
from components.core.platform.tracking_errors import explained, tracking_errors
from tests.registry import tracking

SERVER = "http://mlflow:5000"


def failed(url: str, status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    request = requests.Request("PUT", url).prepare()
    return requests.HTTPError("no", response=response, request=request)


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refuses"), (403, "refuses"), (503, "does not answer")]
)
def test_a_file_that_the_server_does_not_take_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    found = explained(failed(f"{SERVER}/api/2.0/mlflow-artifacts/artifacts/1/x.png", status))
    assert found is not None
    assert words in str(found)


@pytest.mark.parametrize(
    ("url", "status"), [(f"{SERVER}/api/2.0/x", 404), ("http://elsewhere:5000/x", 503)]
)
def test_other_failures_are_not_the_servers(
    monkeypatch: pytest.MonkeyPatch, url: str, status: int
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    assert explained(failed(url, status)) is None


@pytest.mark.parametrize("away", [True, False])
def test_a_stage_that_fails_says_its_own_reason_also_where_mlflow_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], away: bool
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise mlflow.exceptions.MlflowException(
            "API request failed"
        ) from requests.ConnectionError()

    with tracking(f"sqlite:///{tmp_path}/mlflow.db"):
        parent = open_pipeline_run("smoke", "{}")
        client = mlflow.MlflowClient()
        with (
            pytest.raises(ArithmeticError, match="the loss is not finite"),
            tracking_errors(),
            stage_run("toy", parent=parent, resume="", tags={}) as tracker,
            watching(client, parent),
        ):
            if away:
                monkeypatch.setattr(mlflow.MlflowClient, "set_terminated", gone)
            raise ArithmeticError("the loss is not finite")
        said = capsys.readouterr().out.splitlines()
        told = [line for line in said if line.startswith("tracking: not recorded that ")]
        assert len(told) == (2 if away else 0)
        assert all("does not answer" in line for line in told)
        states = {client.get_run(run).info.status for run in (parent, tracker.run_id)}
        assert states == {"RUNNING" if away else "FAILED"}
        assert mlflow.active_run() is None
