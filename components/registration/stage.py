"""Puts the trained generator into MLflow's model registry and lets the gate name it.

Registration has an effect outside its artifact, so it runs every time; the same content finds its
own version again instead of making another.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from components.core.generator import LICENCE, SETTINGS
from components.core.platform.artifacts import (
    MANIFEST,
    hash_text,
    new_artifact,
    open_artifact,
    read_manifest,
)
from components.core.platform.tracking import Tracker
from components.registration.config import Config
from components.registration.gate import alias_of, assess

KIND = "registration"
SCORER = "reward"
"""Which of the scorers in a "realism-scorer" artifact the model carries."""


def run(
    config: Config,
    *,
    model: Path,
    lora: Path,
    reward: Path,
    evaluation: Path,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "registration"; see the module."""
    from components.registration.registry import register, set_alias

    folder = work / "generator"
    content_hash = assemble(folder, config.name, model, lora, reward, evaluation)
    results = json.loads((evaluation / "evaluation.json").read_text("utf-8"))
    rules = assess(results, keep_diversity=config.keep_diversity)
    registered = register(config.name, folder, content_hash, {"licence": LICENCE})
    alias = set_alias(registered, alias_of(rules))
    with new_artifact(output, KIND, "registration", config) as target:
        values = {
            "name": registered.name,
            "version": registered.version,
            "alias": alias,
            "content_hash": content_hash,
            "gate": [rule.as_dict() for rule in rules],
        }
        (target / "registration.json").write_text(json.dumps(values, indent=1) + "\n")
    tracker.log_dict(values, "registration.json")
    word = "new" if registered.new else "known"
    print(f"registration: {config.name} version {registered.version} ({word}), {alias}", flush=True)
    for rule in rules:
        print(f"registration: {'passed' if rule.passed else 'FAILED'}: {rule.rule}: {rule.value}")


def assemble(
    folder: Path, name: str, model: Path, lora: Path, reward: Path, evaluation: Path
) -> str:
    """Lay out the generator's folder (see `components.core.generator`); returns its content hash.

    The sampling settings are those of the evaluation: what was measured is what is served.
    """
    parts = {
        "base": open_artifact(model, "diffusion-model"),
        "lora": open_artifact(lora, "lora"),
        "reward": open_artifact(reward, "realism-scorer"),
    }
    details = json.loads((open_artifact(evaluation, "evaluation") / "details.json").read_text())
    clip = json.loads((reward / "clip.json").read_text("utf-8"))
    settings = {"name": name, **details["sampling"], "clip": clip["uri"]}
    shutil.rmtree(folder, ignore_errors=True)
    unneeded = shutil.ignore_patterns(MANIFEST, "history.jsonl")
    shutil.copytree(parts["base"], folder / "base", ignore=unneeded)
    shutil.copytree(parts["lora"], folder / "lora", ignore=unneeded)
    shutil.copytree(parts["reward"] / SCORER, folder / "reward")
    text = json.dumps(settings, indent=1, sort_keys=True)
    (folder / SETTINGS).write_text(text + "\n", encoding="utf-8")
    hashes = {part: read_manifest(path).content_hash for part, path in parts.items()}
    return hash_text(json.dumps({**hashes, "settings": text}, sort_keys=True))
