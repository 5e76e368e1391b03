"""Training in several processes of this machine, started by torchrun and followed from here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import components
from components.core.errors import UserError
from components.core.platform.lifeline import LIFELINE, lifeline
from components.core.platform.preemption import ended_by_sigterm
from components.core.platform.tracking import Tracker

SHUTDOWN_SECONDS = 600
"""How long a process that was told to end may take to save; torchrun's own 30 seconds are too
short for tens of gigabytes. The Trainer's runtime (manifests/trainer) waits a minute longer."""


def shutdown_option(seconds: int = SHUTDOWN_SECONDS) -> str:
    """torchrun's option with the time between SIGTERM and SIGKILL."""
    return f"--shutdown-timeout={seconds}"


def torchrun_here(module: Sequence[str], processes: int) -> list[str]:
    """The command that starts a module, with its arguments, as a group of processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*launcher, f"--nproc-per-node={processes}", shutdown_option(), "-m", *module]


def train_here(command: Sequence[str], processes: int, watch: Callable[[], None]) -> None:
    """Run torchrun on this machine; UserError if a process of it fails.

    SIGTERM is passed on to the processes, which are then waited for: they may save their work, and
    what they report meanwhile is watched too. They follow a lifeline of this process (`lifeline`).
    """
    with (
        ended_by_sigterm(),
        _environment() as environment,
        subprocess.Popen(command, env=environment) as process,  # noqa: S603 - the callers' own words
    ):
        try:
            while process.poll() is None:
                time.sleep(0.5)
                watch()
        except BaseException as end:
            process.terminate()
            process.wait()
            if not isinstance(end, Exception):  # asked to end, with nothing wrong
                watch()
            raise
    watch()
    if process.returncode != 0:
        raise UserError(
            f"one of {processes} training processes failed (exit code "
            f"{process.returncode}): its message is above; correct it and start again to continue"
        )


@contextmanager
def _environment() -> Iterator[dict[str, str]]:
    """Of the processes: they find this code, and end when this process does."""
    root = Path(components.__file__).resolve().parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    # On this machine's own disk: not every file server knows named pipes.
    with tempfile.TemporaryDirectory(prefix="realmat-") as folder:
        pipe = Path(folder) / "lifeline"
        with lifeline(pipe):
            yield os.environ | {"PYTHONPATH": path, LIFELINE: str(pipe)}


def forward_metrics(file: Path, seen: int, tracker: Tracker) -> int:
    """Log the complete lines of a metrics file after the first `seen`; return the new number."""
    if not file.exists():
        return seen
    lines = file.read_text(encoding="utf-8").split("\n")[:-1]
    for line in lines[seen:]:
        values: Mapping[str, float] = json.loads(line)
        step = int(values["step"])
        tracker.log_metrics({k: v for k, v in values.items() if k != "step"}, step=step)
    return len(lines)
