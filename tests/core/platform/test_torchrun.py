"""torchrun gives its processes the time to save that they need, and no more."""

import os
import subprocess
import time
from pathlib import Path

from components.core.platform.torchrun import SHUTDOWN_SECONDS, shutdown_option, torchrun_here

RUNTIME = Path(__file__).parents[3] / "manifests" / "trainer" / "runtime.yaml"
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


def start(folder: Path, seconds: int) -> subprocess.Popen[bytes]:
    folder.mkdir()
    (folder / "slow_saver.py").write_text(SAVER)
    command = torchrun_here(["slow_saver", str(folder)], 1)
    command[command.index(shutdown_option())] = shutdown_option(seconds)
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(folder)})


def test_a_slow_save_is_waited_for(tmp_path: Path) -> None:
    given, short = tmp_path / "given", tmp_path / "short"
    runs = [start(given, SHUTDOWN_SECONDS), start(short, 1)]
    deadline = time.monotonic() + 90
    while not all((folder / "ready").exists() for folder in (given, short)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for run in runs:
        run.terminate()
    for run in runs:
        run.wait(timeout=60)
    assert (given / "saved").exists()
    assert not (short / "saved").exists(), "torchrun does not heed the option"


def test_the_clusters_pods_wait_longer_than_torchrun() -> None:
    [line] = [row for row in RUNTIME.read_text().splitlines() if "GracePeriodSeconds" in row]
    assert int(line.split(":")[1]) > SHUTDOWN_SECONDS
