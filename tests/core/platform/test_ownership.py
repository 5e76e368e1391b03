"""One process at a time does a stage's work, also where two machines see the same folder."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.core.errors import UserError
from components.core.platform import ownership
from components.core.platform.heartbeat import Pulse, beating
from components.core.platform.ownership import owning

ROOT = Path(__file__).parents[3]
OWNER = """
import os, sys, time
from pathlib import Path
from components.core.platform import heartbeat, ownership
heartbeat.SECONDS_BETWEEN_BEATS = 0.05
ownership._machine = lambda: sys.argv[2]
try:
    with ownership.owning("toy", Path(sys.argv[1])):
        print("owner", flush=True)
        time.sleep(60)
except ownership.UserError as error:
    print(error, flush=True)
"""
HERE = "this-machine 1"


@contextmanager
def owner(work: Path, machine: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the work, as if on this machine."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(work), machine], text=True, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "owner\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ownership, "_machine", lambda: HERE)
    monkeypatch.setattr(ownership, "PATIENCE", 1.5)
    monkeypatch.setattr("components.core.platform.heartbeat.SECONDS_BETWEEN_BEATS", 0.05)
    return tmp_path / "abc.work"


@pytest.mark.parametrize("machine", [HERE, "another-machine 1"])
def test_the_second_is_refused_while_the_first_lives_and_takes_over_when_it_was_killed(
    work: Path, machine: str
) -> None:
    with owner(work, machine) as first:
        with (
            pytest.raises(UserError, match=f"Another run works on toy .*{machine.split()[0]}"),
            owning("toy", work),
        ):
            pytest.fail("two at once")
        first.send_signal(signal.SIGKILL)  # not waited for: its remains must not count as alive
        begun = time.monotonic()
        with owning("toy", work):
            waited = time.monotonic() - begun
            assert len(list(work.with_suffix(".owners").iterdir())) == 1
    assert (waited < 1.0) == (machine == HERE), "only another machine's owner must be watched"
    assert list(work.parent.iterdir()) == []


def test_an_owner_that_stopped_and_was_replaced_does_not_go_on(work: Path) -> None:
    """Its machine was frozen, say. Going on, it would write into the other's checkpoints."""
    with owner(work, "another-machine 1") as first:
        first.send_signal(signal.SIGSTOP)
        with owning("toy", work):
            first.send_signal(signal.SIGCONT)
            assert first.wait(20) == 1
            assert work.with_suffix(".owners").is_dir()


def test_of_many_that_come_at_once_one_has_the_work(work: Path) -> None:
    """After a kill, so that all of them must take over."""
    folder = work.with_suffix(".owners")
    folder.mkdir()
    (folder / "7").write_text(json.dumps({"host": "another-machine 1", "pid": 1, "born": 0}))
    had, refused, together = [], [], threading.Barrier(8)

    def come() -> None:
        together.wait()
        try:
            with owning("toy", work):
                had.append(1)
                time.sleep(4)  # longer than all others look
        except UserError:
            refused.append(1)

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(had), len(refused)) == (1, 7)
    assert list(work.parent.iterdir()) == []


def test_a_pulse_goes_on_whatever_the_clocks_say_and_ends_with_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.core.platform.heartbeat.SECONDS_BETWEEN_BEATS", 0.01)
    file, now = tmp_path / "beat", [0.0]
    gone = threading.Event()
    with beating(file, "words", gone.set):
        os.utime(file, (0, 0))  # the volume's clock is of another century
        pulse = Pulse(file, clock=lambda: now[0])
        for _ in range(5):
            seen = pulse.seen
            while file.read_text() in (seen, ""):
                time.sleep(0.01)
            now[0] += 100.0
            assert pulse.still() == 0.0
    last = file.read_text()
    assert last.startswith("words\n")
    already = pulse.still()
    now[0] += 100.0
    assert pulse.still() == already + 100.0
    with beating(file, "", gone.set):
        file.unlink()
        assert gone.wait(5)
    assert not file.exists()
