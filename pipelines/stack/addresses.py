"""Where each service is: by its name on a cluster, by a port of this machine in the stack.

What is not secret in a service's environment stands in manifests/base/<service>/<service>.env, from
which the cluster's ConfigMaps are made. The stack reads the same files and puts its own addresses
in the place of the services' names, so there is one source of settings and none to forget.
"""

import re
import socket
from collections.abc import Mapping
from pathlib import Path

from components.core.errors import UserError

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests" / "base"
PORTS: Mapping[str, int] = {
    "postgresql": 5432,
    "s3": 9000,
    "mlflow": 5000,
    "label-studio": 8080,
    "realmat-app": 7860,
}
"""The services' names and ports on a cluster."""
STACK_PORT = 17000
"""First of the ports that the stack takes when they are free."""


def read_environment(service: str, folder: Path = MANIFESTS) -> dict[str, str]:
    """The settings of a service; UserError where its file is missing or a line is no NAME=value."""
    file = folder / service / f"{service}.env"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{file} cannot be read: the stack runs from a whole checkout.") from error
    settings: dict[str, str] = {}
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        name, sign, value = line.partition("=")
        if not sign or not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise UserError(f"{file}: '{line}' is not of the form NAME=value: correct that line.")
        settings[name] = value
    return settings


def localised(settings: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """The settings with this machine's addresses in the place of `<service>:<port>`."""
    return {name: _local(value, ports) for name, value in settings.items()}


def _local(value: str, ports: Mapping[str, int]) -> str:
    for service, port in PORTS.items():
        # A name begins after //, @ or a comma, so that "s3" is not found in the middle of another.
        value = re.sub(
            rf"(?<![\w.-]){re.escape(service)}:{port}\b", f"127.0.0.1:{ports[service]}", value
        )
    return value


def free_ports(first: int = STACK_PORT) -> dict[str, int]:
    """A free port for each service: the ones from `first` on, others where those are taken."""
    chosen: dict[str, int] = {}
    for number, service in enumerate(PORTS):
        chosen[service] = _free(first + number)
    return chosen


def _free(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UserError("No port of this machine is free: end some of its servers.")
