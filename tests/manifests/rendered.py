"""The manifests as `kubectl kustomize` renders them, and walks over them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.services import missing

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"
CHECKERS = ROOT / ".venv.manifests" / "bin"
OVERLAYS = ("dev", "production")
TARGETS = ("overlays/dev", "overlays/production", "gateway", "restore")
"""Everything that README.md tells to apply."""

Object = dict[str, Any]


@cache
def text(target: str) -> str:
    """The YAML of a kustomization."""
    program = os.environ.get("KUBECTL") or shutil.which("kubectl")
    if program is None:
        missing("kubectl is not installed: apt-get install kubernetes-client")
    done = subprocess.run(
        [program, "kustomize", str(MANIFESTS / target)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def _parsed(target: str) -> tuple[Object, ...]:
    return tuple(one for one in yaml.load_all(text(target), yaml.CSafeLoader) if one)


def objects(target: str, *kinds: str) -> list[Object]:
    """The objects of a kustomization, of all kinds unless said; nobody changes them."""
    return [one for one in _parsed(target) if not kinds or one["kind"] in kinds]


def checker(name: str) -> str:
    """The path of a checker's program."""
    program = CHECKERS / name
    if not program.exists():
        missing(f"{name} is not installed: run .ci/install --manifests")
    return str(program)


@dataclass(frozen=True)
class Workload:
    """What starts pods: its kind and name, and the pods' metadata and specification."""

    kind: str
    name: str
    metadata: Object
    spec: Object

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def long_running(self) -> bool:
        return self.kind in ("Deployment", "StatefulSet", "DaemonSet")

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def workloads(target: str) -> list[Workload]:
    """All of a kustomization, found by their shape, so that no kind is forgotten."""
    found = []
    for one in objects(target):
        for template in _pod_templates(one):
            found.append(
                Workload(
                    one["kind"], one["metadata"]["name"], template.get("metadata", {}),
                    template["spec"],
                )
            )  # fmt: skip
    return found


def _pod_templates(node: Any) -> Iterator[Object]:
    if isinstance(node, dict):
        spec = node.get("spec")
        if isinstance(spec, dict) and "containers" in spec:
            yield node
            return
        for value in node.values():
            yield from _pod_templates(value)
    elif isinstance(node, list):
        for value in node:
            yield from _pod_templates(value)


def settings(file: str) -> dict[str, str]:
    """The variables of an .env file."""
    lines = (MANIFESTS / file).read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def secrets() -> dict[str, set[str]]:
    """The keys of each Secret in the contract."""
    found: dict[str, set[str]] = {}
    for line in (MANIFESTS / "base" / "secrets.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, key, meaning = line.split(maxsplit=2)
            assert meaning, line
            found.setdefault(name, set()).add(key)
    return found
