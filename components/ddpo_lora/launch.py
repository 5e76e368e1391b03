"""Training in several processes: started here, their metrics and pictures forwarded.

    torchrun --nproc-per-node 8 -m components.ddpo_lora.launch WORK

WORK holds `config.json` and `inputs.json`; rank 0 leaves the adapter and `history.json` there.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from components.core.errors import UserError
from components.core.platform.device import choose_device
from components.core.platform.torchrun import forward_metrics, torchrun_here, train_here
from components.core.platform.tracking import NullTracker, Tracker
from components.ddpo_lora.config import Config
from components.ddpo_lora.history import Row
from components.ddpo_lora.parallel import Group
from components.ddpo_lora.training import Inputs, train

CONFIG, INPUTS, HISTORY, METRICS = "config.json", "inputs.json", "history.json", "metrics.jsonl"


class FileTracker(NullTracker):
    """Appends metrics to a file that the stage's process reads."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Writes one line."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")


def train_in_processes(config: Config, given: Inputs, work: Path, tracker: Tracker) -> list[Row]:
    """Start torchrun on this machine and return the history of its rank 0."""
    work.mkdir(parents=True, exist_ok=True)
    (work / CONFIG).write_text(config.model_dump_json(), encoding="utf-8")
    (work / INPUTS).write_text(given.model_dump_json(), encoding="utf-8")
    metrics = work / METRICS
    metrics.unlink(missing_ok=True)
    seen = 0

    def watch() -> None:
        nonlocal seen
        seen = forward_metrics(metrics, seen, tracker)

    command = torchrun_here(["components.ddpo_lora.launch", str(work)], config.processes)
    train_here(command, config.processes, watch)
    history: list[Row] = json.loads((work / HISTORY).read_text(encoding="utf-8"))
    return history


def main() -> None:
    """Entry point of a torchrun process."""
    work = Path(sys.argv[1])
    config = Config.model_validate_json((work / CONFIG).read_text(encoding="utf-8"))
    given = Inputs.model_validate_json((work / INPUTS).read_text(encoding="utf-8"))
    group = Group.join(choose_device(config.device))
    try:
        history = train(config, given, work, FileTracker(work / METRICS), group)
    except UserError as error:
        sys.exit(f"ddpo_lora: {error}")
    if group.rank == 0:
        (work / HISTORY).write_text(json.dumps(history), encoding="utf-8")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
