"""Servers of the stack: what counts as started."""

import json
import os
import sys
import threading
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from components.core.errors import UserError
from pipelines.stack import processes
from pipelines.stack.__main__ import main
from pipelines.stack.addresses import PORTS
from pipelines.stack.processes import Processes
from pipelines.stack.services import Service


def test_somebody_elses_server_on_the_port_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "BOOT_SECONDS", 2.0)
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{other.server_port}/"
        idle = (sys.executable, "-c", "import time; time.sleep(60)")
        running = Processes(tmp_path)
        running.start(Service("ours", idle, address))
        with pytest.raises(UserError, match="ours did not start"):
            running.wait(Service("ours", idle, address))
        running.stop("ours")
        assert not running.running("ours")
        other.shutdown()


def test_a_server_that_listens_has_started(tmp_path: Path) -> None:
    program = (
        "import http.server as h, sys;"
        "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as probe:
        port = probe.server_port
    service = Service(
        "ours", (sys.executable, "-c", program, str(port)), f"http://127.0.0.1:{port}/"
    )
    running = Processes(tmp_path)
    running.start(service)
    running.wait(service)
    running.stop("ours")
    assert not running.running("ours")


def test_a_stack_whose_machine_was_restarted_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A restart ends all processes, and empties the folder that held the database."""
    folder = tmp_path / "stack"
    (folder / "processes").mkdir(parents=True)
    ports = dict.fromkeys(PORTS, 1)
    note = {"ports": ports, "postgresql": str(tmp_path / "emptied")}
    (folder / "stack.json").write_text(json.dumps(note))
    # The number belongs to somebody else now: this very process, which must survive.
    (folder / "processes" / "mlflow.json").write_text(json.dumps({"pid": os.getpid(), "born": 1}))
    monkeypatch.setattr(sys, "argv", ["stack", "start", "--folder", str(folder)])
    assert main() == 2
    assert "make stack-stop" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["stack", "stop", "--folder", str(folder)])
    assert main() == 0
    assert not folder.exists()
