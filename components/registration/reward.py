"""The reward as a registered model: its folder, and what the registry says of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.platform.artifacts import hash_folder, open_artifact
from components.core.realism.keeping import keep_clip
from components.core.realism.model import ARTIFACT, CARD, CLIP
from components.core.realism.reward import GOLD

if TYPE_CHECKING:
    from components.registration.registry import About

FILES = ("clip.json", "metrics.json", "origin.json", CARD)


def assemble_reward(folder: Path, artifact: Path) -> str:
    """Lay out the folder that `components.core.realism.model` opens; returns its content hash."""
    source = open_artifact(artifact, "realism-scorer")
    shutil.rmtree(folder, ignore_errors=True)
    for scorer in (ARTIFACT, GOLD):
        shutil.copytree(source / scorer, folder / scorer)
    for name in FILES:
        shutil.copyfile(source / name, folder / name)
    clip = json.loads((folder / "clip.json").read_text("utf-8"))
    keep_clip(clip["uri"], folder / CLIP, clip.get("weights", ""))
    return hash_folder(folder)


def about_reward(folder: Path, licence: str) -> About:
    """Card, settings, measures and what the labels were, from the reward's own files."""
    from components.registration.registry import About

    origin = json.loads((folder / "origin.json").read_text("utf-8"))
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    return About(
        card=(folder / CARD).read_text("utf-8"),
        metadata={"licence": licence},
        tags=dict(_texts(origin["labels"], "labels")),
        params=dict(_texts(origin["training"])),
        metrics={name: float(value) for name, value in _texts(metrics)},
    )


def _texts(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as ("a.b", text); what is not known has no line."""
    for name, value in values.items():
        full = f"{prefix}.{name}" if prefix else name
        if isinstance(value, Mapping):
            yield from _texts(value, full)
        elif value is not None:
            yield full, str(value)
