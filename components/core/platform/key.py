"""The name of a piece of work: a hash of all that its result depends on.

Configuration, the content of the inputs, the listings of the folders that the user gave, the
source and shipped weights that run, and the versions of the libraries that compute.
"""

import importlib.util
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel

from components.core.platform.artifacts import canonical_json, hash_file, hash_text
from components.core.platform.storage import fingerprint

PACKAGES = ("diffusers", "mitsuba", "numpy", "open-clip-torch", "peft", "torch", "transformers")
SHARED_SOURCE = ("components.core",)
UNREAD = ("*.pyc", "*.md", "training.json")
"""What lies beside the source and the weights for people alone."""


def stage_key(
    stage: str, config: BaseModel, hashes: Mapping[str, str], parameters: Mapping[str, str]
) -> str:
    """Returns the name under which the result of exactly this work is stored."""
    parts = {
        "stage": stage,
        "config": canonical_json(config),
        "inputs": dict(hashes),
        "parameters": {name: fingerprint(uri) for name, uri in parameters.items()},
        "source": source_hash(stage),
        "packages": {name: _version(name) for name in PACKAGES},
    }
    return hash_text(json.dumps(parts, sort_keys=True))[:20]


def work_key(
    key: str,
    stage: str,
    config: BaseModel,
    hashes: Mapping[str, str],
    parameters: Mapping[str, str],
) -> str:
    """Returns the name of the folder in which a stage keeps what an attempt left half-done.

    That of the result, `key`, unless the stage's `Config` names in `MAY_CHANGE` the settings that
    may differ between two attempts at the same work. Then neither these nor the code count, and
    the stage itself refuses what it cannot continue.
    """
    changeable: frozenset[str] = getattr(type(config), "MAY_CHANGE", frozenset())
    if not changeable:
        return key
    parts = {
        "stage": stage,
        "config": config.model_dump(mode="json", exclude=set(changeable)),
        "inputs": dict(hashes),
        "parameters": {name: fingerprint(uri) for name, uri in parameters.items()},
    }
    return hash_text(json.dumps(parts, sort_keys=True))[:20]


def source_hash(stage: str) -> str:
    """Returns a hash of the code and shipped weights that a stage's result depends on."""
    packages = [*SHARED_SOURCE, f"components.{stage}"]
    if stage == "annotation_sync":
        packages.append("labeling")
    return hash_text("\n".join(line for package in packages for line in _file_hashes(package)))


def _file_hashes(package: str) -> Iterable[str]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        return
    for location in spec.submodule_search_locations:
        for path in sorted(Path(location).rglob("*")):
            if path.is_file() and not any(path.match(pattern) for pattern in UNREAD):
                yield f"{package} {path.relative_to(location).as_posix()} {hash_file(path)}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
