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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.platform.system_metrics import Monitors
from components.core.platform.tracking import Lines, MlflowTracker, open_run

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from numpy.typing import NDArray

STATE = "sent.json"  # how far each journal of a folder was sent
RUN_NOTE = "mlflow_run"  # file in a stage's work folder with the id of its MLflow run


@dataclass
class _Sent:
    """How far a journal was sent: bytes, and the open run of its stage ("" when it has ended)."""

    offset: int = 0
    run: str = ""
    stage: str = ""


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
    folder: Path, stage: str, work: Path, parent: str, tags: Mapping[str, str]
) -> Iterator[JournalTracker]:
    """Opens a stage's journal; its last line says how the stage ended.

    `parent` is the MLflow run of the pipeline, "" for none.
    """
    tracker = JournalTracker(folder, stage, f"{stage}-{work.stem}")
    note = work / RUN_NOTE
    resume = note.read_text() if note.exists() else ""
    tracker.write(
        "start", stage=stage, work=str(work), parent=parent, resume=resume, tags=dict(tags)
    )
    try:
        yield tracker
    except BaseException:
        tracker.write("end", status="FAILED")
        raise
    tracker.write("end", status="FINISHED")


class Publisher:
    """Sends the journals of a folder to MLflow; `poll` sends what is new since the last time.

    How far each journal was sent lies beside it, so what could not be sent, because MLflow was away
    or the process was killed, is sent by the next publisher of the folder. It also measures what
    the machine does while a stage runs, for the stages run on the same one.
    """

    def __init__(self, client: "MlflowClient", folder: Path) -> None:
        self.client = client
        self.folder = folder
        self._sent: dict[str, _Sent] = {}
        self._monitors = Monitors()
        with suppress(FileNotFoundError):
            state = json.loads((folder / STATE).read_text())
            self._sent = {name: _Sent(**values) for name, values in state.items()}

    def poll(self) -> None:
        """Sends all complete lines that have appeared."""
        for path in sorted(self.folder.glob("*.jsonl")):
            sent = self._sent.setdefault(path.stem, _Sent())
            with path.open("rb") as file:
                file.seek(sent.offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # still being written
                    self._send(path, sent, json.loads(line))
                    sent.offset += len(line)
                    self._save()

    def close(self) -> None:
        """Sends the rest, marks the runs of killed stages as such, and removes the journals."""
        try:
            self.poll()
        finally:
            for sent in self._sent.values():
                if sent.run:
                    self._monitors.finish(sent.run)
        for sent in self._sent.values():
            if sent.run:
                self.client.set_terminated(sent.run, "KILLED")
        self._sent.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _save(self) -> None:
        partial = self.folder / f".{STATE}.partial"
        partial.write_text(json.dumps({name: asdict(sent) for name, sent in self._sent.items()}))
        partial.rename(self.folder / STATE)

    def _send(self, path: Path, sent: "_Sent", line: dict[str, Any]) -> None:
        if line["call"] == "start":
            # A resumed stage whose run this publisher opened already continues that run.
            resume = line["resume"] or sent.run
            sent.stage = line["stage"]
            sent.run = open_run(self.client, sent.stage, line["parent"], resume, line["tags"])
            with suppress(FileNotFoundError):  # the stage may have finished already
                (Path(line["work"]) / RUN_NOTE).write_text(sent.run)
            self._monitors.start(sent.run)
            return
        tracker = MlflowTracker(self.client, sent.run, sent.stage, lines=None)
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
                self._monitors.finish(sent.run)
                self.client.set_terminated(sent.run, line["status"])
                sent.run = ""

    def _send_file(self, tracker: MlflowTracker, path: Path, name: str) -> None:
        if path.is_dir():
            self.client.log_artifacts(tracker.run_id, str(path), name)
        else:
            folder = os.path.dirname(name)  # noqa: PTH120, a name inside MLflow and no path
            self.client.log_artifact(tracker.run_id, str(path), folder or None)
