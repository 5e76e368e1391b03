"""The demo as a process beside a real MLflow server, whose alias moves and which goes away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from components.registration.forms import MATERIAL
from components.registration.registry import About, register
from tests.apps.serving import Server
from tests.registry import tracking

pytestmark = [pytest.mark.long, pytest.mark.rare]

NAME = "stones"
ALIAS = f"models:/{NAME}@champion"


class Registry:
    """An MLflow server of its own that keeps models itself."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self._log = folder / "mlflow.log"
        self._command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
            "--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts",
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True
            )
        until(lambda: answers(f"{self.address}/health"), 120)

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=2).close()
    except OSError:
        return False
    return True


def until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    server = Registry(tmp_path)
    with tracking(server.address):
        yield server
    server.stop()


def put(generator: Path, name: str) -> str:
    """Register the generator under another name of its own; its version."""
    folder = generator.parent / name / "generator"
    shutil.copytree(generator, folder)
    settings = json.loads((folder / "generator.json").read_text())
    (folder / "generator.json").write_text(json.dumps({**settings, "name": name}))
    mlflow.set_experiment("models")
    with mlflow.start_run():
        return register(NAME, MATERIAL, folder, name, About()).version


def ask(server: Server) -> str:
    """Make one material; the version that it says it is from."""
    body = json.dumps({"prompt": "grey stone", "count": 1, "seed": 3}).encode()
    request = urllib.request.Request(
        server.url("/api/materials?wait=60"), body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=90) as answer:
        made: dict[str, Any] = json.load(answer)
    with urllib.request.urlopen(
        server.url(f"/api/materials/{made['made'][0]}"), timeout=30
    ) as answer:
        return str(json.load(answer)["version"])


def healthy_version(server: Server) -> str:
    with urllib.request.urlopen(server.url("/healthz"), timeout=10) as answer:
        return str(json.load(answer)["version"])


def test_the_demo_follows_the_alias_and_outlives_the_registry(
    registry: Registry, generator_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = Path(shutil.copytree(generator_folder, tmp_path / "models" / "generator"))
    versions = [put(generator, "first"), put(generator, "second")]
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(NAME, "champion", versions[0])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = Server(tmp_path / "app", f"sqlite:///{tmp_path / 'study.db'}", model=ALIAS)
    seen: list[str] = []
    failed: list[Exception] = []
    over = threading.Event()

    def ask_on_and_on() -> None:
        while not over.is_set():
            try:
                seen.append(ask(server))
            except (OSError, ValueError, KeyError) as error:
                failed.append(error)
                return

    asking = threading.Thread(target=ask_on_and_on)
    try:
        assert healthy_version(server) == versions[0]
        asking.start()
        until(lambda: len(seen) > 2 or bool(failed), 60)
        client.set_registered_model_alias(NAME, "champion", versions[1])
        until(lambda: healthy_version(server) == versions[1] or bool(failed), 60)
        registry.stop()
        after = len(seen)
        until(lambda: len(seen) > after + 3 or bool(failed), 60)
        over.set()
        asking.join(90)
        assert not failed
        # Every material says which version made it: the first, then the second, and never back.
        assert seen == sorted(seen)
        assert set(seen) == set(versions)
        # Started again while the registry is away, it goes on with what it served last.
        server.kill()
        server.start()
        assert healthy_version(server) == versions[1]
        assert ask(server) == versions[1]
        # The registry is back and the alias has moved: it follows again.
        registry.start()
        client.set_registered_model_alias(NAME, "champion", versions[0])
        until(lambda: healthy_version(server) == versions[0], 90)
    finally:
        over.set()
        server.kill()
    (kept,) = (tmp_path / "cache" / "realmat" / "models").iterdir()
    assert {p.name for p in kept.iterdir() if p.is_dir()} == {f"{NAME}-{v}" for v in versions}
