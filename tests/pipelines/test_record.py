"""Which stage is to blame, when parts of one ran side by side."""

from typing import Any

import pytest

from pipelines.record import culprit


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
