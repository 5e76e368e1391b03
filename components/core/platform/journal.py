"""A stage's report on paper first: lines in a file that are sent to MLflow while they appear.

Importing MLflow takes seconds, once for every stage of a local run. So there each stage writes
its parameters, metrics and files into a journal, and the one process that runs the pipeline sends
them on. A stage that is killed leaves its journal complete up to that moment.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.platform.tracking import Lines, MlflowTracker, open_run

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from numpy.typing import NDArray

RUN_NOTE = "mlflow_run"  # file in a stage's work folder with the id of its MLflow run


class JournalTracker:
    """Writes what a stage reports as JSON lines, and its files beside them."""

    def __init__(self, folder: Path, stage: str, task: str) -> None:
        """`task` names the journal, for several tasks may run the same stage at once."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{task}.jsonl"
        self.files = folder / task
        self.lines = Lines(stage)

    def write(self, call: str, **values: Any) -> None:
        """Appends one line."""
        line = json.dumps({"call": call, "time": int(time.time() * 1000), **values}, default=str)
        with self.path.open("a") as file:
            file.write(line + "\n")

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Writes parameters."""
        self.write("params", params={name: str(value) for name, value in params.items()})

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Writes metrics of one step."""
        values = {name: float(value) for name, value in metrics.items()}
        self.write("metrics", metrics=values, step=step)
        self.lines.show(values, step)

    def log_figure(self, figure: "Figure", name: str) -> None:
        """Saves a matplotlib figure as a picture called `name`."""
        figure.savefig(self._file(name))
        self.write("file", name=name)

    def log_image(self, image: "NDArray[np.uint8]", name: str) -> None:
        """Saves an (H, W, 3) uint8 image as a PNG called `name`."""
        from PIL import Image

        Image.fromarray(image).save(self._file(name))
        self.write("file", name=name)

    def log_artifact(self, path: Path) -> None:
        """Copies a file, or a folder with all its files."""
        if path.is_dir():
            shutil.copytree(path, self._file(path.name), dirs_exist_ok=True)
        else:
            shutil.copy2(path, self._file(path.name))
        self.write("file", name=path.name)

    def log_dict(self, values: Mapping[str, Any], name: str) -> None:
        """Saves values as a JSON file called `name`."""
        self._file(name).write_text(json.dumps(dict(values), indent=2, default=str))
        self.write("file", name=name)

    def log_dataset(self, path: Path, content_hash: str, context: str) -> None:
        """Writes that the stage has read or written an artifact."""
        self.write("dataset", path=str(path), content_hash=content_hash, context=context)

    def set_tag(self, name: str, value: str) -> None:
        """Writes a tag."""
        self.write("tag", name=name, value=value)

    def _file(self, name: str) -> Path:
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@contextmanager
def journal(
    folder: Path, stage: str, work: Path, tags: Mapping[str, str]
) -> Iterator[JournalTracker]:
    """Opens a stage's journal; its last line says how the stage ended."""
    tracker = JournalTracker(folder, stage, f"{stage}-{work.stem}")
    note = work / RUN_NOTE
    resume = note.read_text() if note.exists() else ""
    tracker.write("start", stage=stage, work=str(work), resume=resume, tags=dict(tags))
    try:
        yield tracker
    except BaseException:
        tracker.write("end", status="FAILED")
        raise
    tracker.write("end", status="FINISHED")


class Publisher:
    """Sends the journals of a folder to MLflow; `poll` sends what is new since the last time."""

    def __init__(self, client: "MlflowClient", folder: Path, parent: str) -> None:
        self.client = client
        self.folder = folder
        self.parent = parent
        self._offsets: dict[Path, int] = {}
        self._trackers: dict[Path, MlflowTracker] = {}

    def poll(self) -> None:
        """Sends all complete lines that have appeared."""
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # still being written
                    self._send(path, json.loads(line))
                    self._offsets[path] = self._offsets.get(path, 0) + len(line)

    def close(self) -> None:
        """Sends the rest and marks the runs of killed stages as such."""
        self.poll()
        for tracker in self._trackers.values():
            self.client.set_terminated(tracker.run_id, "KILLED")
        self._trackers.clear()

    def _send(self, path: Path, line: dict[str, Any]) -> None:
        if line["call"] == "start":
            run_id = open_run(self.client, line["stage"], self.parent, line["resume"], line["tags"])
            self._trackers[path] = MlflowTracker(self.client, run_id, line["stage"], lines=None)
            with suppress(FileNotFoundError):  # the stage may have finished already
                (Path(line["work"]) / RUN_NOTE).write_text(run_id)
            return
        tracker = self._trackers[path]
        match line["call"]:
            case "params":
                tracker.log_params(line["params"])
            case "metrics":
                tracker.log_metrics(line["metrics"], line["step"], line["time"])
            case "dataset":
                tracker.log_dataset(Path(line["path"]), line["content_hash"], line["context"])
            case "tag":
                tracker.set_tag(line["name"], line["value"])
            case "file":
                self._send_file(tracker, path.with_suffix("") / line["name"], line["name"])
            case "end":
                self.client.set_terminated(tracker.run_id, line["status"])
                del self._trackers[path]

    def _send_file(self, tracker: MlflowTracker, path: Path, name: str) -> None:
        if path.is_dir():
            self.client.log_artifacts(tracker.run_id, str(path), name)
        else:
            folder = os.path.dirname(name)  # noqa: PTH120, a name inside MLflow and no path
            self.client.log_artifact(tracker.run_id, str(path), folder or None)
