"""Training on several nodes goes on from its checkpoint when the nodes were lost."""

import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.core.errors import UserError
from components.sdxl_finetune.checkpoint import checkpoints, steps_of
from components.sdxl_finetune.stage import run
from tests.sdxl_finetune.recorder import Recorder
from tests.sdxl_finetune.test_training import UNET, tiny, two_nodes_here

pytestmark = [pytest.mark.long, pytest.mark.rare]

STEPS = 60


class Nodes:
    """Two nodes on this machine, which are taken away once, after the first checkpoint."""

    def __init__(self, work: Path) -> None:
        self.saved = work / "checkpoints"
        self.keys: list[str] = []

    def train(self, stage: str, key: str, **job: Any) -> None:
        self.keys.append(key)
        if len(self.keys) > 1:
            two_nodes_here(stage, key, **job)
            return
        threading.Thread(target=self._take_away, daemon=True).start()
        try:
            two_nodes_here(stage, key, **job)
        except AssertionError as error:  # the nodes' exit codes
            raise UserError("The TrainJob was removed while it trained.") from error

    def _take_away(self) -> None:
        while not checkpoints(self.saved):
            time.sleep(0.05)
        for process in psutil.Process().children(recursive=True):
            process.kill()


def test_the_next_attempt_continues_where_the_lost_nodes_had_saved(
    base_model: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, output = tmp_path / "work", tmp_path / "model"
    nodes = Nodes(work)
    monkeypatch.setattr("components.core.platform.processes.train_on_nodes", nodes.train)
    config = tiny(base_model, nodes=2, iterations=STEPS)
    places: dict[str, Any] = {"dataset": [dataset], "output": output, "work": work}
    with pytest.raises(UserError, match="removed while it trained"):
        run(config, **places, tracker=Recorder())
    assert not output.exists()
    reached = steps_of(checkpoints(nodes.saved)[-1])
    assert 0 < reached < STEPS
    again = Recorder()
    run(config, **places, tracker=again)
    assert [step for step, _ in again.rows] == list(range(reached + 1, STEPS + 1))
    assert (output / UNET).exists()
    assert nodes.keys[0] == nodes.keys[1]  # one name: the next job replaces what was left behind
