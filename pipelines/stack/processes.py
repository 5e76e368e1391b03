"""Servers that outlive the command which starts them, found again by a file, ended whole."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from components.core.errors import UserError
from pipelines.stack.services import Service

BOOT_SECONDS = 300.0
GRACE = 30.0


class Processes:
    """The running services of a stack's folder: a log and a note of the process for each."""

    def __init__(self, folder: Path) -> None:
        self.logs, self.notes = folder / "logs", folder / "processes"
        for path in (self.logs, self.notes):
            path.mkdir(parents=True, exist_ok=True)

    def start(self, service: Service) -> None:
        """Starts a service unless it runs; `wait` tells when it can be used."""
        if self.running(service.name):
            return
        with (self.logs / f"{service.name}.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - a service of services.py
                service.command, env=dict(service.environment), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        note = {"pid": process.pid, "born": _born(process.pid)}
        self._note(service.name).write_text(json.dumps(note))

    def wait(self, service: Service) -> None:
        """Returns when a service answers; UserError when it ends or never does."""
        deadline = time.monotonic() + BOOT_SECONDS
        while not (_answers(service.ready) and self._listens(service)):
            if not self.running(service.name) or time.monotonic() > deadline:
                log = self.logs / f"{service.name}.log"
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise UserError(f"{service.name} did not start ({''.join(last)[:200]}): see {log}.")
            time.sleep(0.2)

    def running(self, name: str) -> bool:
        """Whether the process of a service lives; another with its number is not taken for it."""
        known = self._known(name)
        return known is not None and _born(known[0]) == known[1]

    def _listens(self, service: Service) -> bool:
        """Whether it is this service that answers, not somebody else's server on its port."""
        known = self._known(service.name)
        port = httpx.URL(service.ready).port
        members = _group(known[0]) if known is not None else []
        return any(port in _listening(pid) for pid in members)

    def stop(self, name: str) -> None:
        """Ends a service with all its processes, by force if it takes long."""
        known = self._known(name)
        if known is not None and _born(known[0]) == known[1]:
            self._end(known[0])
        self._note(name).unlink(missing_ok=True)

    def kill(self, name: str) -> None:
        """Ends a service at once, as a power cut would."""
        known = self._known(name)
        if known is not None and _born(known[0]) == known[1]:
            os.killpg(known[0], signal.SIGKILL)
            _wait_for_end(known[0], GRACE)

    def _end(self, pid: int) -> None:
        os.killpg(pid, signal.SIGTERM)
        if not _wait_for_end(pid, GRACE):
            os.killpg(pid, signal.SIGKILL)
            _wait_for_end(pid, GRACE)

    def _note(self, name: str) -> Path:
        return self.notes / f"{name}.json"

    def _known(self, name: str) -> tuple[int, str] | None:
        try:
            note = json.loads(self._note(name).read_text())
        except FileNotFoundError:
            return None
        return int(note["pid"]), str(note["born"])


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code < 500
    except httpx.HTTPError:
        return False


def _listening(pid: int) -> set[int]:
    """The TCP ports on which a process waits for connections."""
    try:
        known = psutil.Process(pid).net_connections("tcp")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return set()
    return {one.laddr.port for one in known if one.status == psutil.CONN_LISTEN}


def _born(pid: int) -> str:
    """When the process started, in ticks since the machine did; "" when there is none."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = line.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def _wait_for_end(pid: int, seconds: float) -> bool:
    """Whether every process of the group has ended within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # where it is our own child, it is taken off the table
        if not _group(pid):
            return True
        time.sleep(0.05)
    return False


def _group(pid: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[2] == str(pid) and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found
