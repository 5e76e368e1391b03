"""`realmat serve` as a process that can be killed and started again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Server:
    """Serves the studies of a folder, or of the database at `url`, on a port of its own.

    model: the folder of a generator, for the demo beside them, which renders at `size`. prefix:
    what a proxy in front of it strips. What it logs is in `log`.
    """

    def __init__(
        self, folder: Path, url: str = "", rate: int = 200, model: str = "", prefix: str = "",
        size: int = 96,
    ) -> None:  # fmt: skip
        self.arguments = ["--data", str(folder), "--database", url, "--rate", str(rate)]
        self.arguments += ["--root-path", prefix]
        self.arguments += (
            ["--model", model, "--rendering-size", str(size)] if model else ["--study-only"]
        )
        self.folder = folder
        self.log = folder / "server.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "pipelines.cli", "serve"]
        command += [*self.arguments, "--port", str(self.port)]
        environment = {**os.environ, "REALMAT_OWNER_TOKEN": "the owner"}
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=log
            )
        deadline = time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(self.url("/readyz"), timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """Ask it to end; returns its exit code."""
        self.process.terminate()
        return self.process.wait(60)
