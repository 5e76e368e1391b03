"""Journals reach MLflow whole, also when MLflow or the process that sends them was away."""

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from components.core.errors import UserError
from components.core.platform.journal import RUN_NOTE, Publisher, journal
from components.core.platform.tracking import ensure_experiment
from components.core.platform.tracking_errors import tracking_errors


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return MlflowClient()


def stage(folder: Path, work: Path, parent: str, values: list[float], killed: bool = False) -> None:
    """Writes what a stage would; one that is killed never writes its end."""
    work.mkdir(exist_ok=True)
    with journal(folder, "ddpo_lora", work, parent, {"input.model": "abc"}) as tracker:
        for step, value in enumerate(values):
            tracker.log_metrics({"reward": value}, step=step)
    if killed:
        lines = tracker.path.read_text().splitlines(keepends=True)
        tracker.path.write_text("".join(lines[:-1]))


class Away:
    """A client whose server stops answering after some calls."""

    def __init__(self, client: MlflowClient, calls: int) -> None:
        self.client, self.calls = client, calls

    def __getattr__(self, name: str) -> Any:
        if name == "log_batch":
            self.calls -= 1
            if self.calls < 0:
                raise ConnectionError("the server is away")
        return getattr(self.client, name)


def test_what_could_not_be_sent_is_sent_by_the_next_publisher(
    client: MlflowClient, tmp_path: Path
) -> None:
    folder, work = tmp_path / "journal", tmp_path / "key.work"
    parent = client.create_run(ensure_experiment()).info.run_id
    stage(folder, work, parent, [0.1, 0.2, 0.3])
    with pytest.raises(ConnectionError):
        Publisher(Away(client, 2), folder).poll()  # type: ignore[arg-type]
    run = (work / RUN_NOTE).read_text()
    assert len(client.get_metric_history(run, "reward")) == 2
    Publisher(client, folder).close()
    history = client.get_metric_history(run, "reward")
    assert [(point.step, point.value) for point in history] == [(0, 0.1), (1, 0.2), (2, 0.3)]
    assert client.get_run(run).info.status == "FINISHED"
    assert client.get_run(run).data.tags["mlflow.parentRunId"] == parent
    assert not folder.exists()


def test_a_killed_stage_goes_on_in_its_run(client: MlflowClient, tmp_path: Path) -> None:
    folder, work = tmp_path / "journal", tmp_path / "key.work"
    first = client.create_run(ensure_experiment()).info.run_id
    stage(folder, work, first, [0.1], killed=True)
    Publisher(client, folder).close()
    run = (work / RUN_NOTE).read_text()
    assert client.get_run(run).info.status == "KILLED"
    second = client.create_run(ensure_experiment()).info.run_id
    stage(folder, work, second, [0.2])
    Publisher(client, folder).close()
    assert (work / RUN_NOTE).read_text() == run
    assert client.get_run(run).info.status == "FINISHED"
    assert client.get_run(run).data.tags["mlflow.parentRunId"] == second
    assert len(client.get_metric_history(run, "reward")) == 2


def test_two_attempts_that_mlflow_never_saw_become_one_run(
    client: MlflowClient, tmp_path: Path
) -> None:
    folder, work = tmp_path / "journal", tmp_path / "key.work"
    parent = client.create_run(ensure_experiment()).info.run_id
    stage(folder, work, parent, [0.1], killed=True)
    stage(folder, work, parent, [0.2])
    Publisher(client, folder).close()
    runs = client.search_runs([ensure_experiment()], "tags.stage = 'ddpo_lora'")
    assert len(runs) == 1


def test_a_server_that_is_away_is_one_sentence_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:hidden@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match="does not answer") as refused, tracking_errors():
        MlflowClient().get_run("0" * 32)
    assert "hidden" not in str(refused.value)
    with pytest.raises(ValueError, match="of another kind"), tracking_errors():
        raise ValueError("of another kind")
