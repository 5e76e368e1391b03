"""The stack by its command line, from start to end; its settings and Secrets."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from labeling.address import parse
from labeling.server import PROGRAM
from pipelines.stack.addresses import MANIFESTS, localised, read_environment
from pipelines.stack.objects import client_of
from pipelines.stack.postgresql import installed
from pipelines.stack.secrets import make_secrets
from pipelines.stack.stack import ENVIRONMENT, NOTE
from tests.pipelines.conftest import ROOT
from tests.services import missing

LARGE = 11 * 2**20  # more than one part of an upload by MLflow


def command(what: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`make stack` or `make stack-stop`, but for what they install."""
    return subprocess.run(
        [sys.executable, "-m", "pipelines.stack", what, "--folder", str(folder), *more],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def environment_of(folder: Path) -> dict[str, str]:
    """What a shell has after `. stack.env`."""
    done = subprocess.run(
        ["sh", "-c", f". {folder / ENVIRONMENT} && env -0"], capture_output=True, text=True,
        check=True, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    return dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)


@pytest.mark.long
@pytest.mark.rare
def test_a_stack_of_the_command_line_is_used_kept_and_removed(tmp_path: Path) -> None:
    """With its own S3 server, whose objects outlive a stop that keeps, as PostgreSQL's rows do."""
    if not installed():
        missing("PostgreSQL is not installed: apt-get install postgresql")
    if not PROGRAM.exists():
        missing("Label Studio is not installed: .ci/install --labeling")
    folder = tmp_path / "stack"
    try:
        _start_use_and_keep(folder, tmp_path)
        started = command("start", folder)
        assert started.returncode == 0, started.stdout + started.stderr
        given = environment_of(folder)
        client = client_of(given)
        assert client.get_object(Bucket="realmat", Key="a/ü b")["Body"].read() == b"kept"
        signed = (given["MLFLOW_TRACKING_USERNAME"], given["MLFLOW_TRACKING_PASSWORD"])
        (run,) = _runs(given, signed)
        artifacts = f"{given['MLFLOW_TRACKING_URI']}/get-artifact"
        asked = {"path": "hello.txt", "run_id": run["info"]["run_id"]}
        assert httpx.get(artifacts, params=asked, auth=signed).text == "hello"
        again = command("start", folder)  # while it runs: nothing changes
        assert again.returncode == 0
        assert "starting" not in again.stdout
    finally:
        ports = json.loads((folder / NOTE).read_text())["ports"]
        database = Path(json.loads((folder / NOTE).read_text())["postgresql"])
        stopped = command("stop", folder)
    assert stopped.returncode == 0, stopped.stderr
    assert not folder.exists()
    assert not database.exists()
    for name, port in ports.items():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, name
    assert "no stack in" in command("stop", folder).stdout


def _start_use_and_keep(folder: Path, tmp_path: Path) -> None:
    started = command("start", folder)
    assert started.returncode == 0, started.stdout + started.stderr
    secrets = json.loads((folder / "secrets.json").read_text())
    words = {value for keys in secrets.values() for key, value in keys.items() if "PASSW" in key}
    assert not [word for word in words if word in started.stdout]
    given = environment_of(folder)
    client_of(given).put_object(Bucket="realmat", Key="a/ü b", Body=b"kept")
    key = Path(given["LABEL_STUDIO_API_KEY_FILE"])
    assert key.stat().st_mode & 0o077 == 0
    assert key.read_text() not in started.stdout
    assert given["LABELS"] == str(parse(given["LABELS"]))
    (tmp_path / "large").write_bytes(os.urandom(LARGE))
    program = (
        "import mlflow; mlflow.set_experiment('x')\n"
        "with mlflow.start_run():\n"
        "    mlflow.log_text('hello', 'hello.txt')\n"
        "    mlflow.log_artifact('large')\n"
    )
    in_parts = {"MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(LARGE)}
    subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **given, **in_parts}, check=True,
        cwd=tmp_path,
    )  # fmt: skip
    store = client_of({**given, **secrets["mlflow-secrets"]})
    (stored,) = [
        item
        for item in store.list_objects_v2(Bucket="mlflow")["Contents"]
        if item["Key"].endswith("/large")
    ]
    assert stored["Size"] == LARGE
    assert stored["ETag"].strip('"').endswith("-2")  # two parts, each to a presigned address
    assert command("stop", folder, "--keep").returncode == 0


def _runs(given: Mapping[str, str], signed: tuple[str, str]) -> list[Any]:
    base = f"{given['MLFLOW_TRACKING_URI']}/api/2.0/mlflow"
    name = {"experiment_name": "x"}
    found = httpx.get(f"{base}/experiments/get-by-name", params=name, auth=signed).json()
    wanted = {"experiment_ids": [found["experiment"]["experiment_id"]]}
    return list(httpx.post(f"{base}/runs/search", json=wanted, auth=signed).json()["runs"])


def test_settings_are_the_manifests_with_this_machines_addresses() -> None:
    ports = {"postgresql": 1, "s3": 2, "mlflow": 3, "label-studio": 4, "realmat-app": 5}
    settings = localised(
        {"A": "http://s3:9000/x", "B": "mlflow:5000,localhost:5000", "C": "http://my-s3:9000"},
        ports,
    )
    assert settings == {
        "A": "http://127.0.0.1:2/x", "B": "127.0.0.1:3,localhost:5000", "C": "http://my-s3:9000",
    }  # fmt: skip
    for service in ("mlflow", "label-studio", "app", "pipeline"):
        for value in localised(read_environment(service), ports).values():
            assert not re.search(r"(?:mlflow|s3|label-studio|postgresql):\d", value)


def test_the_secrets_have_the_names_and_keys_of_the_manifests() -> None:
    lines = (MANIFESTS / "secrets.txt").read_text().splitlines()
    rows = [line.split()[:2] for line in lines if line and not line.startswith("#")]
    made, again = make_secrets(), make_secrets()
    wanted = {
        (secret, key) for secret, key in rows if not secret.startswith(("backup-", "restore-"))
    }
    assert {(secret, key) for secret, keys in made.items() for key in keys} == wanted
    key = "REALMAT_SECRET_KEY"
    assert made["app-secrets"][key] != again["app-secrets"][key]
