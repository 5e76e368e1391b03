"""Which stage is to blame, when parts of one ran side by side; how runs are closed."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.recipe import load_recipe
from pipelines.record import PipelineRecord, culprit
from tests.registry import tracking


def line(stage: str, state: str, **more: str) -> dict[str, Any]:
    return {"stage": stage, "state": state, **more}


STARTED = line("synthetic_data", "started")
FINISHED = line("synthetic_data", "finished")
REFUSED = line("synthetic_data", "refused", reason="no such folder")


@pytest.mark.parametrize(
    ("lines", "stage", "state"),
    [
        ([STARTED, STARTED, REFUSED, FINISHED], "synthetic_data", "refused"),
        ([STARTED, STARTED, FINISHED], "synthetic_data", "started"),
        ([STARTED, FINISHED, line("ddpo_lora", "started")], "ddpo_lora", "started"),
        ([STARTED, FINISHED], "the pipeline", "failed"),
        ([], "the pipeline", "failed"),
    ],
)
def test_the_culprit(lines: list[dict[str, Any]], stage: str, state: str) -> None:
    found = culprit(lines)
    assert (found["stage"], found["state"]) == (stage, state)


def test_on_a_server_the_killed_run_of_this_output_is_closed_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REALMAT_RECORD", str(tmp_path / "none.jsonl"))
    with tracking(f"sqlite:///{tmp_path}/mlflow.db"), monkeypatch.context() as patch:
        # What this process has been told outranks the environment, which names a server.
        patch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
        _check_killed_runs(tmp_path)


def _check_killed_runs(tmp_path: Path) -> None:
    recipe = load_recipe("smoke")
    records = [PipelineRecord(recipe, {}, tmp_path / name) for name in ("ours", "theirs", "ours")]
    killed, alive, again = (record.__enter__() for record in records)
    client = again.client

    def status(record: PipelineRecord) -> str:
        return str(client.get_run(record.run_id).info.status)

    assert (status(killed), status(alive), status(again)) == ("KILLED", "RUNNING", "RUNNING")
    again.__exit__(None, None, None)
    assert status(again) == "FINISHED"
    assert not (tmp_path / "ours").exists()
