"""torchrun gives its processes the time to save that they need, and no more; none outlives its
stage, and the last that they report is not lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from components.core.platform.torchrun import (
    SHUTDOWN_SECONDS,
    shutdown_option,
    torchrun_here,
    train_here,
)

ROOT = Path(__file__).parents[3]
RUNTIME = ROOT / "manifests" / "trainer" / "runtime.yaml"
SAVER = """
import signal, sys, time
from pathlib import Path

def save(*_):
    time.sleep(3)
    Path(sys.argv[1], "saved").touch()
    sys.exit()

signal.signal(signal.SIGTERM, save)
Path(sys.argv[1], "ready").touch()
time.sleep(60)
"""

TRAINER = """
import os, sys, time
from pathlib import Path
from components.core.platform.processes import ending_well

with ending_well("stage", Path(sys.argv[1])):
    Path(sys.argv[1], "pid").write_text(str(os.getpid()))
    time.sleep(60)
"""
STAGE = """
import sys
from components.core.platform.torchrun import train_here
train_here(sys.argv[1:], 1, lambda: None)
"""


def here(folder: Path) -> list[str]:
    return [sys.executable, "-m", "trainer", str(folder)]


def by_torchrun(folder: Path) -> list[str]:
    return torchrun_here(["trainer", str(folder)], 1)


def wait_for(found: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start(folder: Path, seconds: int) -> subprocess.Popen[bytes]:
    folder.mkdir()
    (folder / "slow_saver.py").write_text(SAVER)
    command = torchrun_here(["slow_saver", str(folder)], 1)
    command[command.index(shutdown_option())] = shutdown_option(seconds)
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(folder)})


def test_a_slow_save_is_waited_for(tmp_path: Path) -> None:
    given, short = tmp_path / "given", tmp_path / "short"
    runs = [start(given, SHUTDOWN_SECONDS), start(short, 1)]
    wait_for(lambda: all((folder / "ready").exists() for folder in (given, short)), 90)
    for run in runs:
        run.terminate()
    for run in runs:
        run.wait(timeout=60)
    assert (given / "saved").exists()
    assert not (short / "saved").exists(), "torchrun does not heed the option"


def test_the_clusters_pods_wait_longer_than_torchrun() -> None:
    [line] = [row for row in RUNTIME.read_text().splitlines() if "GracePeriodSeconds" in row]
    assert int(line.split(":")[1]) > SHUTDOWN_SECONDS


@pytest.mark.parametrize("command", [here, pytest.param(by_torchrun, marks=pytest.mark.long)])
def test_a_killed_stage_takes_its_processes_along(
    tmp_path: Path, command: Callable[[Path], list[str]]
) -> None:
    """They would train on, and write to the folder from which the next attempt continues."""
    (tmp_path / "trainer.py").write_text(TRAINER)
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    stage = subprocess.Popen(
        [sys.executable, "-c", STAGE, *command(tmp_path)], env=os.environ | {"PYTHONPATH": path}
    )
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    started = psutil.Process(stage.pid).children(recursive=True)
    assert int((tmp_path / "pid").read_text()) in {process.pid for process in started}
    stage.kill()
    stage.wait()
    assert psutil.wait_procs(started, timeout=20)[1] == []


def test_what_is_reported_after_sigterm_is_seen(tmp_path: Path) -> None:
    """The last step, which the processes finish before they save it and end."""
    (tmp_path / "slow_saver.py").write_text(SAVER.replace("sleep(3)", "sleep(0.2)"))
    seen: list[bool] = []

    def watch() -> None:
        seen.append((tmp_path / "saved").exists())
        if (tmp_path / "ready").exists() and len(seen) > 1 and not seen[-1]:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as end:
        train_here([sys.executable, str(tmp_path / "slow_saver.py"), str(tmp_path)], 1, watch)
    assert end.value.code == 128 + signal.SIGTERM
    assert seen[-1]
