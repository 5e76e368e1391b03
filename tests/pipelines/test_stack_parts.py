"""Parts of the stack on their own: a full disk, its end, its settings and Secrets."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from components.core.platform.artifacts import read_manifest
from pipelines.stack.addresses import MANIFESTS, localised, read_environment
from pipelines.stack.secrets import make_secrets
from pipelines.stack.stack import Stack
from tests.pipelines.conftest import EXACT, ROOT
from tests.s3 import Store
from tests.services import missing


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    server = Store()
    yield server
    server.close()


@pytest.mark.long
def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(smoke: Path, tmp_path: Path) -> None:
    """A disk of three megabytes, on which the dataset of the first stage does not fit."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        missing("this test mounts a small disk, which needs root")
    command = [
        sys.executable, "-m", "pipelines.cli", "run", "smoke", "--until", "synthetic_data",
        "--output", str(disk / "run"),
    ]  # fmt: skip
    environment = {**os.environ, **EXACT, "REALMAT_RUNS": str(tmp_path)}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, done.stdout + done.stderr
        assert "No space left" in done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        assert not list((disk / "run" / "store").glob("*/*/manifest.json"))
        resize = ["mount", "-o", "remount,size=200m", str(disk)]
        subprocess.run(resize, check=True)
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        made = {
            path.parent.name: json.loads(path.read_text())["content_hash"]
            for path in (disk / "run" / "store").glob("*/*/manifest.json")
        }
        assert made
        for key, content in made.items():
            assert read_manifest(smoke / "store" / "synthetic_data" / key).content_hash == content
    finally:
        subprocess.run(["umount", str(disk)], check=False)


@pytest.mark.long
def test_stopping_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    """PostgreSQL and MLflow alone: the others are ended in the same way."""
    stack = Stack(
        tmp_path / "stack", say=lambda _: None, elsewhere={"s3": store.port}, first_port=30_000
    )
    stack.services = stack.services[1:2]
    stack.postgres.start()
    password = stack.secrets["postgresql-secrets"]["MLFLOW_DATABASE_PASSWORD"]
    stack.postgres.create_owned("mlflow", password)
    stack.restart("mlflow")
    assert stack.processes.running("mlflow")
    second = Stack(tmp_path / "stack", say=lambda _: None)  # as another command finds it
    second.services = second.services[1:2]
    assert second.ports == stack.ports
    second.stop()
    assert not (tmp_path / "stack").exists()
    assert not stack.postgres.folder.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(stack.services[0].ready)


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
