"""What the stack's services are: a command, an environment, and how to tell that they are ready."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labeling.server import PROGRAM
from pipelines.stack.addresses import MANIFESTS, localised, read_environment
from pipelines.stack.secrets import FILE, Secrets

ROOT = Path(__file__).resolve().parents[2]
BUCKETS = ("backups", "label-studio", "mlflow", "realmat")
OF_THE_VOLUME = ("HF_HOME", "REALMAT_STORE", "XDG_CACHE_HOME")
"""Settings of the stages that name the volume of a cluster's pods."""
INHERITED = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR")
"""What a service sees of the environment of the person who starts it."""


@dataclass(frozen=True)
class Service:
    """A server of this machine; `ready` is the address that answers once it can be used."""

    name: str
    command: tuple[str, ...]
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def services(
    folder: Path, ports: Mapping[str, int], secrets: Secrets, model: str
) -> tuple[Service, ...]:
    """The services but PostgreSQL, in the order in which they need each other.

    `model` is what the app serves until the registry has a champion.
    """
    return (
        _object_store(folder, ports),
        _mlflow(folder, ports, secrets),
        _label_studio(folder, ports, secrets),
        _app(folder, ports, secrets, model),
    )


def _object_store(folder: Path, ports: Mapping[str, int]) -> Service:
    """S3 in memory, which checks keys and their rights (see object_store.py, objects.py)."""
    port = str(ports["s3"])
    command = (sys.executable, "-m", "pipelines.stack.object_store", port, str(folder / FILE))
    settings = inherited() | {"PYTHONPATH": str(ROOT)}
    return Service("s3", command, f"http://127.0.0.1:{port}/", settings)


def _mlflow(folder: Path, ports: Mapping[str, int], secrets: Secrets) -> Service:
    port = str(ports["mlflow"])
    home = folder / "mlflow"
    home.mkdir(parents=True, exist_ok=True)
    # The program that the cluster's container runs.
    command = (sys.executable, str(MANIFESTS / "mlflow" / "start.py"))
    own = {
        "MLFLOW_HOST": "127.0.0.1", "MLFLOW_PORT": port, "MLFLOW_WORKERS": "1",
        "MLFLOW_RUN_FOLDER": str(home),
    }  # fmt: skip
    settings = environment_of("mlflow", "mlflow-secrets", ports, secrets) | own
    return Service("mlflow", command, f"http://127.0.0.1:{port}/health", settings)


def _label_studio(folder: Path, ports: Mapping[str, int], secrets: Secrets) -> Service:
    port = str(ports["label-studio"])
    home = folder / "label-studio"
    home.mkdir(parents=True, exist_ok=True)
    command = (
        str(PROGRAM), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", port,
        "--data-dir", str(home), "--log-level", "WARNING",
    )  # fmt: skip
    settings = environment_of("label-studio", "label-studio-secrets", ports, secrets)
    own = {
        "HOME": str(home), "LABEL_STUDIO_PORT": port, "POSTGRE_HOST": "127.0.0.1",
        "POSTGRE_PORT": str(ports["postgresql"]),
    }  # fmt: skip
    return Service("label-studio", command, f"http://127.0.0.1:{port}/health", {**settings, **own})


def _app(folder: Path, ports: Mapping[str, int], secrets: Secrets, model: str) -> Service:
    port = str(ports["realmat-app"])
    command = (
        sys.executable, "-m", "pipelines.cli", "serve", "--host", "127.0.0.1", "--port", port,
        "--meanwhile", model, "--data", str(folder / "app"),
    )  # fmt: skip
    settings = environment_of("app", "app-secrets", ports, secrets) | {"PYTHONPATH": str(ROOT)}
    return Service("realmat-app", command, f"http://127.0.0.1:{port}/readyz", settings)


def environment_of(
    service: str, secret: str, ports: Mapping[str, int], secrets: Secrets
) -> dict[str, str]:
    """What a service's container has as environment on a cluster, with this machine's addresses."""
    return inherited() | localised({**read_environment(service), **secrets[secret]}, ports)


def stage_environment(ports: Mapping[str, int], secrets: Secrets) -> dict[str, str]:
    """What `realmat` needs to use the stack, as a stage's pod has it."""
    settings = read_environment("pipeline")
    given = {name: value for name, value in settings.items() if name not in OF_THE_VOLUME}
    return localised({**given, **secrets["pipeline-secrets"]}, ports)


def inherited() -> dict[str, str]:
    """What a program of the stack sees of the environment of the person who starts it."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}
