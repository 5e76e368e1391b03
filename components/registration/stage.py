"""Puts the trained generator and its reward into MLflow's model registry, as the gate has said.

The reward is a model of its own, so that images can be scored, and rewards compared, without any
generator. Its alias follows the generator's: two rewards that learnt from different labels cannot
be ranked by what they say of their own labels, so that the one evidence for a reward is what came
of optimising it, which is what the gate judges. `models:/realmat-reward@champion` is therefore
always the reward of `models:/realmat@champion`.

Registration has an effect outside its artifact, so it runs every time; the same content finds its
own version again instead of making another.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.generator import LICENCE, SETTINGS
from components.core.platform.artifacts import (
    MANIFEST,
    hash_folder,
    hash_text,
    located,
    new_artifact,
    open_artifact,
    read_manifest,
)
from components.core.platform.figures import (
    EVALUATION_TAG,
    WEIGHTS_TAG,
    figures,
    weights_hash,
)
from components.core.platform.machine import hardware, versions
from components.core.platform.tracking import Tracker
from components.core.realism.keeping import keep_clip
from components.core.realism.model import CARD, CLIP
from components.core.realism.reward import GOLD, REWARD
from components.registration.card import generator_card
from components.registration.config import Config
from components.registration.reward import about_reward, assemble_reward

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KIND = "registration"
SCORERS = (REWARD, GOLD)
"""The scorers of a "realism-scorer" artifact that the model carries: its reward and the judge that
it was checked with, so that later comparisons have both."""


def run(
    config: Config,
    *,
    model: Path,
    lora: Path,
    reward: Path,
    evaluation: Path,
    gate: Path,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "registration"; see the module."""
    from mlflow import MlflowClient

    from components.registration.forms import MATERIAL, REWARD_MODEL
    from components.registration.promotion import COMPANION, promote
    from components.registration.registry import About, register

    folder, judge = work / "generator", work / "reward"
    hashes = (
        assemble(folder, config.name, model, lora, reward, evaluation),
        assemble_reward(judge, reward),
    )
    results = _json(evaluation / "evaluation.json")
    details = _json(evaluation / "details.json")
    judged = _json(open_artifact(gate, "promotion-gate") / "gate.json")
    # The pipeline's branch and the gate's file say the same: the alias moves on a pass alone.
    if config.alias != judged["verdict"]:
        raise ValueError(f"alias {config.alias}, but the gate's verdict is {judged['verdict']}")
    origin = _json(judge / "origin.json")
    client = MlflowClient()
    parent = parent_run(client)
    circumstances = {**made_by(parent, details), **hardware(), **versions()}
    card = generator_card(
        results, details, origin, judged["rules"], circumstances, LICENCE,
        clip=_json(judge / "clip.json")["uri"],
        recipe=recipe_of(parent),
        given=parent.data.params if parent else {},
    )  # fmt: skip
    (folder / CARD).write_text(card, encoding="utf-8")
    about = About(
        card=card,
        metadata={"licence": LICENCE},
        tags={
            EVALUATION_TAG: read_manifest(evaluation).content_hash,
            WEIGHTS_TAG: weights_hash(*(content_of(part) for part in (model, lora, reward))),
        },
        metrics=figures({**details, **results}),
    )
    made = (
        register(config.name, MATERIAL, folder, hashes[0], about),
        register(config.reward_name, REWARD_MODEL, judge, hashes[1], about_reward(judge, LICENCE)),
    )
    companion = f"{made[1].name}/{made[1].version}"
    client.set_model_version_tag(made[0].name, made[0].version, COMPANION, companion)
    alias = promote(client, made[0].name, made[0].version, config.alias)
    known = [
        {
            "name": one.name,
            "version": one.version,
            "alias": promote(client, one.name, one.version, alias),
            "content_hash": h,
        }
        for one, h in zip(made, hashes, strict=True)
    ]
    with new_artifact(output, KIND, "registration", config) as target:
        values = {**known[0], "reward": known[1]}
        (target / "registration.json").write_text(json.dumps(values, indent=1) + "\n")
    tracker.log_dict(values, "registration.json")
    for one, row in zip(made, known, strict=True):
        word = "new" if one.new else "known"
        print(
            f"registration: {one.name} version {one.version} ({word}), {row['alias']}", flush=True
        )


def content_of(artifact: Path) -> str:
    """The content hash of an artifact."""
    return read_manifest(located(artifact)).content_hash


def parent_run(client: MlflowClient) -> Run | None:
    """The run of the whole pipeline; None for a stage that runs alone."""
    import mlflow

    active = mlflow.active_run()
    parent = active.data.tags.get("mlflow.parentRunId") if active else None
    return client.get_run(parent) if parent else None


def made_by(parent: Run | None, details: Mapping[str, Any]) -> dict[str, str]:
    """Recipe, run and seed; what is not known is left out."""
    found: dict[str, str] = {}
    if parent:
        found["recipe"] = f"{parent.info.run_name} (all settings: recipe.json of the MLflow run)"
        found["MLflow run"] = parent.info.run_id
    if "seed" in details:
        found["seed of the evaluation"] = str(details["seed"])
    return found


def recipe_of(parent: Run | None) -> dict[str, Any]:
    """The recipe's sections, as the run keeps them; {} if it keeps none."""
    from mlflow.artifacts import load_dict
    from mlflow.exceptions import MlflowException

    if parent is None:
        return {}
    try:
        found: dict[str, Any] = load_dict(f"{parent.info.artifact_uri}/recipe.json")
    except (MlflowException, OSError):  # as of a run that somebody else has opened
        print("registration: the pipeline's run has no recipe.json: the card has no recipe")
        return {}
    return found


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


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
    if "weights" in clip:
        settings["weights"] = clip["weights"]
    shutil.rmtree(folder, ignore_errors=True)
    unneeded = shutil.ignore_patterns(MANIFEST, "history.jsonl", "strips.png")
    shutil.copytree(parts["base"], folder / "base", ignore=unneeded)
    shutil.copytree(parts["lora"], folder / "lora", ignore=unneeded)
    for scorer in SCORERS:
        shutil.copytree(parts["reward"] / scorer, folder / scorer)
    text = json.dumps(settings, indent=1, sort_keys=True)
    (folder / SETTINGS).write_text(text + "\n", encoding="utf-8")
    hashes = {part: read_manifest(path).content_hash for part, path in parts.items()}
    if keep_clip(clip["uri"], folder / CLIP, clip.get("weights", "")):
        hashes["clip"] = hash_folder(folder / CLIP)
    return hash_text(json.dumps({**hashes, "settings": text}, sort_keys=True))
