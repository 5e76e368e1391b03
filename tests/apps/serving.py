"""`realmat serve --study-only` as a process that can be killed and started again."""

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
    """Serves the studies of a folder, or of the database at `url`, on a port of its own."""

    def __init__(self, folder: Path, url: str = "", rate: int = 200) -> None:
        self.arguments = ["--data", str(folder), "--database", url, "--rate", str(rate)]
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "pipelines.cli", "serve", "--study-only"]
        command += [*self.arguments, "--port", str(self.port)]
        environment = {**os.environ, "REALMAT_OWNER_TOKEN": "the owner"}
        self.process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
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
