"""What the machine does is logged to a stage's run while the stage runs, and no longer."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.core.platform.journal import RUN_NOTE, Publisher, journal
from components.core.platform.tracking import ensure_experiment, stage_run

NAMES = ("cpu_utilization_percentage", "system_memory_usage_megabytes", "disk_usage_percentage")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowClient]:
    with pytest.MonkeyPatch.context() as patch:
        database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        patch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
        ensure_experiment()
        yield MlflowClient()


def points(client: MlflowClient, run: str, name: str = NAMES[0]) -> int:
    return len(client.get_metric_history(run, f"system/{name}"))


def wait_for_points(client: MlflowClient, run: str, more_than: int = 0) -> None:
    deadline = time.monotonic() + 20
    while min(points(client, run, name) for name in NAMES) <= more_than:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_of_a_stage_that_speaks_to_mlflow_itself(client: MlflowClient) -> None:
    with stage_run("toy", parent="", resume="", tags={}) as tracker:
        wait_for_points(client, tracker.run_id)
    assert client.get_run(tracker.run_id).info.status == "FINISHED"
    measured = client.get_run(tracker.run_id).data.metrics
    assert measured["system/system_memory_usage_megabytes"] > 50
    assert 0 <= measured["system/disk_usage_percentage"] <= 100


def test_of_a_stage_with_a_journal_until_it_ends(client: MlflowClient, tmp_path: Path) -> None:
    """A second attempt goes on where the first one's points end."""
    folder, work = tmp_path / "journal", tmp_path / "key.work"
    work.mkdir()
    seen = 0
    for _ in range(2):
        publisher = Publisher(client, folder)
        with journal(folder, "toy", work, "", {}):
            publisher.poll()
            run = (work / RUN_NOTE).read_text()
            wait_for_points(client, run, more_than=seen)
        publisher.close()
        seen = points(client, run)
        time.sleep(0.2)
        assert points(client, run) == seen
    steps = [point.step for point in client.get_metric_history(run, f"system/{NAMES[0]}")]
    assert steps == list(range(seen))


def test_they_can_be_switched_off(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    with stage_run("toy", parent="", resume="", tags={}) as tracker:
        time.sleep(0.3)
    assert points(client, tracker.run_id) == 0
