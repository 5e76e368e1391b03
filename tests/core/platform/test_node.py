"""A node trains while the stage that asked for it lives, and no longer."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from components.core.platform.heartbeat import Pulse, beating
from components.core.platform.node import ABANDONED, follow

ROOT = Path(__file__).parents[3]
# Saves its work when it is told to end, as a training process does.
TRAINING = """
import signal, sys, time
from pathlib import Path
def save(*_):
    Path(sys.argv[1], "saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
Path(sys.argv[1], "ready").touch()
time.sleep(float(sys.argv[2]))
sys.exit(3)
"""


def training(folder: Path, seconds: float) -> list[str]:
    return [sys.executable, "-c", TRAINING, str(folder), str(seconds)]


def test_it_saves_and_ends_when_the_heartbeat_has_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "heartbeat"
    with beating(file):
        pulse = Pulse(file)
    assert follow(training(tmp_path, 60), pulse, patience=1.0, poll=0.05) == ABANDONED
    assert (tmp_path / "saved").exists()
    assert "saves its work and ends" in capsys.readouterr().out


def test_it_goes_on_while_the_heart_beats_and_gives_its_own_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.core.platform.heartbeat.SECONDS_BETWEEN_BEATS", 0.1)
    file = tmp_path / "heartbeat"
    with beating(file):
        command = training(tmp_path, 2.0)
        assert follow(command, Pulse(file), patience=1.0, poll=0.05) == 3
    assert not (tmp_path / "saved").exists()


def test_an_eviction_reaches_the_training(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from components.core.platform import node, heartbeat\n"
        "sys.exit(node.follow(sys.argv[2:], heartbeat.Pulse(Path(sys.argv[1]))))"
    )
    file = tmp_path / "heartbeat"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(file), *training(tmp_path, 60)], cwd=ROOT
    )
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert (tmp_path / "saved").exists()


def test_the_runtime_starts_no_node_again_whose_stage_has_ended() -> None:
    runtime = yaml.safe_load((ROOT / "manifests" / "trainer" / "runtime.yaml").read_text())
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    (rule,) = job["template"]["spec"]["podFailurePolicy"]["rules"]
    (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"] == {
        "containerName": container["name"], "operator": "In", "values": [ABANDONED],
    }  # fmt: skip
