"""MLflow's model registry: one version for each content."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from components.registration.forms import Form

CONTENT_TAG = "content_hash"
LONGEST = 5000
"""Characters that MLflow's database has for a description or a tag."""


@dataclass(frozen=True)
class Registered:
    """A version in the registry; `new` is False if the same content was there already."""

    name: str
    version: str
    new: bool


@dataclass(frozen=True)
class About:
    """What the registry says of a version. card: Markdown; tags, params, metrics: see MLflow."""

    card: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


def register(name: str, form: Form, folder: Path, content_hash: str, about: About) -> Registered:
    """Log `folder` as a pyfunc in MLflow's active run and register it, unless it is there."""
    found = find(name, content_hash)
    if found is not None:
        return Registered(name, str(found.version), new=False)
    info = mlflow.pyfunc.log_model(
        name=name,
        python_model=str(form.file),
        artifacts={form.artifact: str(folder)},
        signature=form.signature(),
        input_example=form.example(),
        pip_requirements=requirements(form),
        metadata=dict(about.metadata),
        params=dict(about.params),
    )
    if about.metrics:
        mlflow.log_metrics(dict(about.metrics), model_id=info.model_id)
    tags = {**about.tags, CONTENT_TAG: content_hash}
    created = mlflow.register_model(
        info.model_uri, name, tags={tag: text[:LONGEST] for tag, text in tags.items()}
    )
    if about.card:
        mlflow.MlflowClient().update_model_version(name, created.version, _short(about.card))
    return Registered(name, str(created.version), new=True)


def _short(card: str) -> str:
    """As much of a card as there is room for; the whole one lies among the model's files."""
    more = "\n\n(cut here; the whole card is `card.md` of the model's artifacts)"
    return card if len(card) <= LONGEST else card[: LONGEST - len(more)] + more


def find(name: str, content_hash: str) -> ModelVersion | None:
    """The oldest version of the model with this content."""
    client = mlflow.MlflowClient()
    try:
        versions = client.search_model_versions(f"name = '{name}'")
    except MlflowException:
        return None
    same = [v for v in versions if v.tags.get(CONTENT_TAG) == content_hash]
    return min(same, key=lambda v: int(v.version), default=None)


def requirements(form: Form) -> list[str]:
    """Exact versions of what the model needs, this project included."""
    pinned = []
    for package in ("realmat", *form.packages):
        try:
            pinned.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            print(f"registration: {package} is not installed as a package", file=sys.stderr)
    return pinned
