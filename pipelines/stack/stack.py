"""The stack: PostgreSQL, S3, MLflow, Label Studio and the app on this machine, started and ended.

Everything lies in one folder (PostgreSQL's data beside it, for the server may not run as root):

    secrets.json, stack.env    readable by their owner alone; `. stack.env` lets `realmat` use it
    label-studio-key           the key of Label Studio's owner, for whoever judges through its API
    logs/, processes/          of each service
    mlflow/, label-studio/, app/
    objects/                   what S3 held when the stack was stopped to be started again
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from labeling.address import Address
from pipelines.stack.addresses import MANIFESTS, STACK_PORT, free_ports
from pipelines.stack.objects import bring_back, client_of, make_buckets, put_away
from pipelines.stack.postgresql import Postgres
from pipelines.stack.processes import Processes
from pipelines.stack.secrets import (
    DATABASES,
    Secrets,
    keep_secrets,
    shell_lines,
    write_private,
)
from pipelines.stack.services import BUCKETS, Service, inherited, services, stage_environment

ENVIRONMENT = "stack.env"
LABELS_KEY = "label-studio-key"
TASK_IMAGES = "s3://realmat/labels"
"""Where a run puts the images that people judge; Label Studio signs addresses of them."""
NOTE = "stack.json"
OBJECTS = "objects"
OWNER = "postgres"  # of the database server; the services have users of their own


class Stack:
    """The services of one folder. `say` shows progress."""

    def __init__(
        self, folder: Path, model: str = "small", say: Callable[[str], None] = print,
        elsewhere: Mapping[str, int] | None = None, first_port: int = STACK_PORT,
    ) -> None:  # fmt: skip
        """`elsewhere` gives the ports of services that run already and are not ours to start."""
        self.folder = folder.resolve()
        self.say = say
        self.elsewhere = dict(elsewhere or {})
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes = Processes(self.folder)
        self.secrets: Secrets = keep_secrets(self.folder)
        self.ports, self.postgres = self._resume(first_port)
        self.services = services(self.folder, self.ports, self.secrets, model)

    def start(self) -> None:
        """Starts what does not run; returns when all services answer."""
        if not self.postgres.folder.exists():
            raise UserError(
                f"{self.postgres.folder}, the stack's database, is gone: run `make stack-stop`."
            )
        if not self.postgres.running():
            self.say("PostgreSQL")
            self.postgres.start()
        passwords = self.secrets["postgresql-secrets"]
        for name in DATABASES:
            self.postgres.create_owned(name, passwords[f"{name.upper()}_DATABASE_PASSWORD"])
        store, tracking, *others = self.services
        empty = store.name not in self.elsewhere and not self.processes.running(store.name)
        for service in (store, tracking, *others[:-1]):
            self._begin(service)
        self._await(store)
        make_buckets(self._administrator(), BUCKETS)
        if empty:
            bring_back(self._administrator(), self.folder / OBJECTS)
        self._await(tracking)
        make_users(self.environment, self.secrets)
        for service in others[:-1]:
            self._await(service)
        # The app reads the registry as soon as it starts.
        self._begin(others[-1])
        self._await(others[-1])
        key = self.secrets["label-studio-secrets"]["LABEL_STUDIO_USER_TOKEN"]
        write_private(self.folder / LABELS_KEY, key)
        lines = shell_lines({**self.environment, "LABELS": self.labels})
        write_private(self.folder / ENVIRONMENT, lines)

    def stop(self, keep: bool = False) -> None:
        """Ends all services; unless `keep`, removes everything they held."""
        for service in reversed(self.services):
            if keep and service.name == "s3" and self.processes.running("s3"):
                put_away(self._administrator(), self.folder / OBJECTS)
            self.processes.stop(service.name)
        if keep:
            if self.postgres.running():
                self.postgres.stop("fast")
            return
        self.postgres.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self, name: str) -> None:
        """Starts a service that has ended; returns when it answers."""
        (service,) = (service for service in self.services if service.name == name)
        self._begin(service)
        self._await(service)

    @property
    def environment(self) -> dict[str, str]:
        """What `realmat` needs to use the stack; the key of Label Studio is in a file."""
        given = stage_environment(self.ports, self.secrets)
        del given["LABEL_STUDIO_API_KEY"]
        return {**given, "LABEL_STUDIO_API_KEY_FILE": str(self.folder / LABELS_KEY)}

    @property
    def labels(self) -> str:
        """The address of a project of the stack's Label Studio, as `--labels` takes it."""
        server = f"http://127.0.0.1:{self.ports['label-studio']}"
        return str(Address(server, images=TASK_IMAGES))

    def _administrator(self) -> Any:
        """A client of S3 that may do everything."""
        return client_of({**self.environment, **self.secrets["s3-secrets"]})

    def _begin(self, service: Service) -> None:
        if service.name not in self.elsewhere and not self.processes.running(service.name):
            self.say(service.name)
            self.processes.start(service)

    def _await(self, service: Service) -> None:
        if service.name not in self.elsewhere:
            self.processes.wait(service)

    def _resume(self, first_port: int) -> tuple[dict[str, int], Postgres]:
        """The ports and the database that this folder had before, or new ones."""
        note = self.folder / NOTE
        password = self.secrets["postgresql-secrets"]["POSTGRES_PASSWORD"]
        if note.exists():
            kept: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
            data = Path(kept["postgresql"])  # gone where a restart empties the folder for such
            return kept["ports"], Postgres(kept["ports"]["postgresql"], password, data, OWNER)
        ports = free_ports(first_port) | self.elsewhere
        postgres = Postgres(ports["postgresql"], password, owner=OWNER)
        note.write_text(json.dumps({"ports": ports, "postgresql": str(postgres.folder)}))
        return ports, postgres


def make_users(environment: Mapping[str, str], secrets: Secrets) -> None:
    """Makes MLflow's users with the program that the cluster's Job runs."""
    known = secrets["mlflow-secrets"]
    given = {name: known[name] for name in known if name.startswith("MLFLOW_AUTH_ADMIN_")}
    for whose in ("pipeline", "app"):
        for key in ("USERNAME", "PASSWORD"):
            value = secrets[f"{whose}-secrets"][f"MLFLOW_TRACKING_{key}"]
            given[f"{whose.upper()}_{key}"] = value
    given["MLFLOW_TRACKING_URI"] = environment["MLFLOW_TRACKING_URI"]
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(MANIFESTS / "mlflow" / "users.py")],
        env=inherited() | given, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"{done.stderr.strip()[-500:]}: see the log of mlflow.")
