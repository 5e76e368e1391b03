"""Judges an evaluation: champion or candidate, with the reasons in one table.

The pipeline branches on the verdict: `registration` moves the alias only on a pass. The present
champion's figures stand beside the new ones where there is one. They inform and do not decide:
each model was judged by the reward that it was trained on, and two rewards have different scales;
CLIP score and diversity can be compared as they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.core.platform.artifacts import new_artifact, open_artifact, read_manifest
from components.core.platform.figures import figures
from components.core.platform.tracking import Tracker
from components.promotion_gate.config import Config
from components.promotion_gate.gate import assess, verdict_of
from components.promotion_gate.votes import read_votes

KIND = "promotion-gate"


def run(config: Config, *, evaluation: Path, output: Path, work: Path, tracker: Tracker) -> None:
    """Write the artifact "promotion-gate": gate.json with verdict, rules and champion."""
    from mlflow import MlflowClient

    from components.promotion_gate.champion import beside, present_champion, shown_figure

    evaluation = open_artifact(evaluation, "evaluation")
    measured = {
        **json.loads((evaluation / "details.json").read_text("utf-8")),
        **json.loads((evaluation / "evaluation.json").read_text("utf-8")),
    }
    votes, study = None, None
    if config.votes:
        votes = read_votes(config.votes, config.votes_after, config.votes_before)
        study = {"after": votes.after, "before": votes.before, "votes": votes.total}
    rules = assess(
        measured,
        gold_margin=config.gold_margin,
        keep_diversity=config.keep_diversity,
        keep_clip_score=config.keep_clip_score,
        votes=votes,
    )
    known = read_manifest(evaluation).content_hash
    champion = present_champion(MlflowClient(), config.name, known, measured.get("weights", ""))
    rows = [rule.as_dict() for rule in rules]
    values: dict[str, Any] = {"verdict": verdict_of(rules), "rules": rows}
    if study is not None:
        values["study"] = study
    if champion is not None:
        own = figures(measured)
        values["champion"] = {
            "name": config.name,
            "version": champion.version,
            "figures": beside(own, champion.figures),
        }
        for row in rows:
            row["after"] = shown_figure(own, row["name"])
            row["champion"] = shown_figure(champion.figures, row["name"])
    with new_artifact(output, KIND, "promotion_gate", config) as folder:
        (folder / "gate.json").write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    tracker.log_dict(values, "gate.json")
    for rule in rules:
        word = "passed" if rule.passed else "FAILED"
        print(f"promotion_gate: {word}: {rule.name} {rule.value}: {rule.reason}", flush=True)
    print(f"promotion_gate: {values['verdict']}", flush=True)
