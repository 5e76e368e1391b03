"""MLflow's model registry: one version for each content, one alias for each outcome."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlflow
import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from components.core.generator import ARTIFACT
from components.registration.gate import CHAMPION

CONTENT_TAG = "content_hash"
MODEL_FILE = Path(__file__).with_name("model.py")
REQUIREMENTS = (
    "diffusers", "mlflow", "numpy", "open-clip-torch", "pandas", "peft", "pillow", "safetensors",
    "torch", "transformers",
)  # fmt: skip


@dataclass(frozen=True)
class Registered:
    """A version in the registry; `new` is False if the same content was there already."""

    name: str
    version: str
    new: bool


def signature() -> ModelSignature:
    """Rows of prompt and seed to rows of five PNG files; parameters apply to all rows."""
    maps = ("albedo", "height", "roughness", "metallic", "normal")
    rows = [ColSpec(DataType.string, "prompt"), ColSpec(DataType.long, "seed")]
    return ModelSignature(
        inputs=Schema([rows[0], ColSpec(DataType.long, "seed", required=False)]),
        outputs=Schema([*rows, *(ColSpec(DataType.binary, name) for name in maps)]),
        params=ParamSchema(
            [
                ParamSpec("seed", DataType.long, np.int64(0)),
                ParamSpec("steps", DataType.long, np.int64(0)),
                ParamSpec("tileable", DataType.boolean, False),
            ]
        ),
    )


def register(name: str, folder: Path, content_hash: str, metadata: Mapping[str, str]) -> Registered:
    """Log `folder` as a pyfunc in MLflow's active run and register it, unless it is there."""
    found = find(name, content_hash)
    if found is not None:
        return Registered(name, str(found.version), new=False)
    info = mlflow.pyfunc.log_model(
        name=name,
        python_model=str(MODEL_FILE),
        artifacts={ARTIFACT: str(folder)},
        signature=signature(),
        input_example=EXAMPLE,
        pip_requirements=requirements(),
        metadata=dict(metadata),
    )
    created = mlflow.register_model(info.model_uri, name, tags={CONTENT_TAG: content_hash})
    return Registered(name, str(created.version), new=True)


EXAMPLE = {"prompt": "old red brick wall", "seed": 0}


def find(name: str, content_hash: str) -> ModelVersion | None:
    """The oldest version of the model with this content."""
    client = mlflow.MlflowClient()
    try:
        versions = client.search_model_versions(f"name = '{name}'")
    except MlflowException:
        return None
    same = [v for v in versions if v.tags.get(CONTENT_TAG) == content_hash]
    return min(same, key=lambda v: int(v.version), default=None)


def set_alias(registered: Registered, alias: str) -> str:
    """Point the alias at the version; returns the alias under which the model is now known.

    The gate only promotes: a version that is the champion already stays it.
    """
    client = mlflow.MlflowClient()
    current = client.get_model_version(registered.name, registered.version)
    if CHAMPION in current.aliases:
        return CHAMPION
    client.set_registered_model_alias(registered.name, alias, registered.version)
    return alias


def requirements() -> list[str]:
    """Exact versions of what the model needs, this project included."""
    pinned = []
    for package in ("realmat", *REQUIREMENTS):
        try:
            pinned.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            print(f"registration: {package} is not installed as a package", file=sys.stderr)
    return pinned
