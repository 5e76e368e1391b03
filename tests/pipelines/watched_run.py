"""`realmat run smoke` as a process that a test watches and disturbs."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pipelines.stack.stack import Stack
from tests.pipelines.conftest import EXACT, ROOT


def until(condition: Callable[[], bool], what: str, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


class Run:
    """`realmat run smoke` with the stack's environment; `saw` waits for a line of its output."""

    def __init__(self, stack: Stack, output: Path, *more: str) -> None:
        self.lines: list[str] = []
        command = [sys.executable, "-m", "pipelines.cli", "run", "smoke", "--output", str(output)]
        self.process = subprocess.Popen(
            [*command, *more], cwd=ROOT, env={**os.environ, **EXACT, **stack.environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def saw(self, words: str) -> None:
        until(lambda: words in self.text or self.process.poll() is not None, words, 600)
        assert words in self.text, self.text[-3000:]

    def end(self) -> int:
        code = self.process.wait(900)
        self.thread.join(60)
        return code

    def kill_stage(self) -> None:
        """Ends the process that runs a task, as the kernel does when memory runs out."""
        group = [
            int(entry.parent.name)
            for entry in Path("/proc").glob("[0-9]*/cmdline")
            if b"kfp.dsl.executor_main" in entry.read_bytes()
            and self.process.pid in _ancestors(int(entry.parent.name))
        ]
        assert group
        for pid in group:
            os.kill(pid, signal.SIGKILL)


def _ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 1:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            break
        pid = int(fields[1])
        found.add(pid)
    return found
