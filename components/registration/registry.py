"""MLflow's model registry: one version for each content, described by what was last measured."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from components.core.realism.model import CARD
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
    """Log `folder` as a pyfunc in MLflow's active run and register it, unless it is there.

    A version that is there gets the card, tags and metrics if they are not the ones it has.
    """
    found = find(name, content_hash)
    if found is not None:
        renew(found, about)
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
    tags = {**_cut(about.tags), CONTENT_TAG: content_hash}
    created = mlflow.register_model(info.model_uri, name, tags=tags)
    if about.card:
        text = _short(about.card, "`card.md` of the model's artifacts")
        mlflow.MlflowClient().update_model_version(name, created.version, text)
    return Registered(name, str(created.version), new=True)


def renew(found: ModelVersion, about: About) -> None:
    """Describe known weights by what was measured of them now, in MLflow's active run.

    Their files are not written again: the whole card lies with the run.
    """
    client, tags = mlflow.MlflowClient(), _cut(about.tags)
    if all(found.tags.get(tag) == text for tag, text in tags.items()):
        return
    if about.metrics:
        model = found.source.removeprefix("models:/")
        mlflow.log_metrics(dict(about.metrics), model_id=model)
    if about.card:
        run = mlflow.active_run()
        mlflow.log_text(about.card, CARD)
        place = f"`{CARD}` of MLflow run {run.info.run_id if run else ''}"
        note = f"Measured again: the card among the model's files is older, this one is {place}."
        text = _short(f"{about.card}\n{note}\n", place)
        client.update_model_version(found.name, found.version, text)
    # The tags last: should this be cut off, the next run does all of it again.
    for tag, text in tags.items():
        client.set_model_version_tag(found.name, found.version, tag, text)


def _cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {tag: text[:LONGEST] for tag, text in tags.items()}


def _short(card: str, place: str) -> str:
    """As much of a card as there is room for, and where the whole one lies."""
    more = f"\n\n(cut here; the whole card is {place})"
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
