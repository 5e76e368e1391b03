"""One process at a time works on a stage's checkpoints and its artifact.

On a cluster the pods of several runs see the same store, so a run by schedule and one by hand may
come to the same work. The one that comes second is refused while the first lives. Beside the work
folder lies `<key>.owners/<number>`, the heartbeat of the owner: the highest number is the owner's,
and the file system gives each number to one process alone.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from components.core.errors import UserError
from components.core.platform.heartbeat import Pulse, beating, words_of

PATIENCE = 60.0
"""Seconds without a heartbeat after which an owner on another machine counts as dead."""
ENDING = 5.0
"""Seconds that a stage has to end in after its run was killed, before another is refused."""
CLOCK_SET = 5.0


@contextmanager
def owning(stage: str, work: Path) -> Iterator[None]:
    """Holds a stage's work for this process; UserError while another one works on it."""
    folder = work.with_suffix(".owners")
    mine = _take(stage, folder)

    def displaced() -> None:
        print(f"{stage}: another attempt has taken {work} over; this one ends", flush=True)
        os._exit(1)  # it must not write there any more

    try:
        with beating(mine, _here(), displaced):
            yield
    finally:
        mine.unlink(missing_ok=True)
        with suppress(OSError):  # somebody else is just coming
            folder.rmdir()


def _take(stage: str, folder: Path) -> Path:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = _numbers(folder)
        last = numbers[-1] if numbers else 0
        if numbers and _lives(folder / str(last)):
            raise UserError(
                f"Another run works on {stage} with the same settings and inputs "
                f"({_host(folder / str(last))}): wait for it, its result is then used here too, "
                "or end it."
            )
        mine = folder / str(last + 1)
        try:
            file = mine.open("x", encoding="utf-8")
        except (FileExistsError, FileNotFoundError):
            continue  # somebody was quicker, or has just ended
        try:
            with file:
                file.write(_here())
        except OSError:  # such as of a full disk
            mine.unlink(missing_ok=True)
            raise
        if max(_numbers(folder), default=0) > last + 1:
            mine.unlink(missing_ok=True)
            continue
        for number in numbers:
            (folder / str(number)).unlink(missing_ok=True)
        return mine


def _numbers(folder: Path) -> list[int]:
    with suppress(FileNotFoundError):  # its owner has just ended
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    return []


def _lives(file: Path) -> bool:
    """Whether an owner lives: on this machine its process is there, on another its heart beats."""
    with suppress(ValueError, KeyError):
        known = json.loads(words_of(file))
        if known["host"] == _machine():
            return _stays(int(known["pid"]), float(known["born"]))
    pulse = Pulse(file)
    before = pulse.seen
    print(f"{file} is another attempt's: up to {PATIENCE:.0f} s to see if it lives", flush=True)
    while pulse.still() < PATIENCE and file.exists():
        if pulse.seen != before:
            return file.exists()
        time.sleep(0.5)
    return False


def _stays(pid: int, born: float) -> bool:
    """Whether this process does not end within `ENDING`, as one does whose run was just killed."""
    until = time.monotonic() + ENDING
    while _is_running(pid, born):
        if time.monotonic() > until:
            return True
        time.sleep(0.2)
    return False


def _is_running(pid: int, born: float) -> bool:
    """Whether this process is there, not another with its number, and not only its remains.

    The system derives the time of birth from its clock, which may be set meanwhile.
    """
    try:
        process = psutil.Process(pid)
        dead = process.status() == psutil.STATUS_ZOMBIE
        return not dead and abs(process.create_time() - born) < CLOCK_SET
    except psutil.Error:
        return False


def _host(file: Path) -> str:
    with suppress(ValueError, KeyError):
        return str(json.loads(words_of(file))["host"]).partition(" ")[0]
    return "on another machine"


def _here() -> str:
    process = psutil.Process()
    known = {"host": _machine(), "pid": process.pid, "born": process.create_time()}
    return json.dumps(known)


def _machine() -> str:
    """The host with the numbering of its processes: a container has one of its own."""
    with suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()
