"""Training in several processes: started, their metrics and pictures forwarded.

    torchrun --nproc-per-node 8 -m components.ddpo_lora.launch WORK

WORK holds `config.json` and `inputs.json`, and all nodes see it; rank 0 leaves the adapter,
`history.json` and the strips there.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from components.core.catalogues.address import environments_folders
from components.core.platform.device import choose_device
from components.core.platform.processes import ending_well, train_in_group
from components.core.platform.torchrun import forward_metrics
from components.core.platform.tracking import NullTracker, Tracker
from components.core.realism.identity import CLIP_FILE, read_clip
from components.ddpo_lora.config import Config
from components.ddpo_lora.history import Row
from components.ddpo_lora.parallel import Group
from components.ddpo_lora.strips import read_strip, strip_files, strip_name
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
    """Start the processes, here or on a cluster's nodes, and return the history of rank 0."""
    work.mkdir(parents=True, exist_ok=True)
    (work / CONFIG).write_text(config.model_dump_json(), encoding="utf-8")
    (work / INPUTS).write_text(given.model_dump_json(), encoding="utf-8")
    if config.nodes > 1:
        fetch_for_nodes(given)
    metrics = work / METRICS
    metrics.unlink(missing_ok=True)
    seen, shown = 0, set(strip_files(work))

    def watch() -> None:
        nonlocal seen
        seen = forward_metrics(metrics, seen, tracker)
        for epoch, file in strip_files(work).items():
            if epoch not in shown:
                shown.add(epoch)
                tracker.log_image(read_strip(file), strip_name(epoch))

    train_in_group(
        "ddpo_lora", "components.ddpo_lora.launch", work, nodes=config.nodes,
        processes=config.processes, watch=watch,
    )  # fmt: skip
    history: list[Row] = json.loads((work / HISTORY).read_text(encoding="utf-8"))
    return history


def fetch_for_nodes(given: Inputs) -> None:
    """Bring what is named and not given as a folder onto the volume: a cluster's nodes see that,
    and reach neither a hub nor a catalogue. Earlier stages may have fetched it onto another one.
    """
    read_clip(Path(given.reward) / CLIP_FILE)
    environments_folders(given.environments)


def main() -> None:
    """Entry point of a torchrun process."""
    work = Path(sys.argv[1])
    config = Config.model_validate_json((work / CONFIG).read_text(encoding="utf-8"))
    given = Inputs.model_validate_json((work / INPUTS).read_text(encoding="utf-8"))
    with ending_well("ddpo_lora", work):
        group = Group.join(choose_device(config.device))
        history = train(config, given, work, FileTracker(work / METRICS), group)
    if group.rank == 0:
        (work / HISTORY).write_text(json.dumps(history), encoding="utf-8")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
