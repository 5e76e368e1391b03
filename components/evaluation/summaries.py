"""What other stages wrote, read for the report: scorer metrics, reward curves, counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REWARD_KEYS = ("real_mean", "synthetic_mean", "holdout_auc")


def reward_summary(scorer: Path) -> dict[str, Any]:
    """The `reward` key of report.json from a "realism-scorer" artifact."""
    metrics = read_json(scorer / "metrics.json")
    summary = {key: metrics[key] for key in REWARD_KEYS if key in metrics}
    tv = {k: v for k, v in metrics.get("tv", {}).items() if k in ("std_with", "std_without")}
    return {**summary, "tv": tv} if tv else summary


def ddpo_summary(adapter: Path) -> dict[str, Any]:
    """The `ddpo` key of report.json from a "lora" artifact; only epochs that were measured."""
    curves = reward_curves(adapter)
    known = {name: [v for v in values if v is not None] for name, values in curves.items()}
    return {
        "epochs": len(known["train_reward"]),
        "train_reward": known["train_reward"],
        "heldout_reward": known["heldout_reward"],
    }


def reward_curves(adapter: Path) -> dict[str, list[float | None]]:
    """Curves of history.jsonl by name, one value a row, None where it was not measured.

    Row `epoch` e holds the samples of epoch e and the held-out measurement before its update; the
    last row is the finished model's, with no training samples.
    """
    history = read_lines(adapter / "history.jsonl")
    names = ("epoch", "train_reward", "heldout_reward", "heldout_gold_reward")
    return {name: [row.get(name) for row in history] for name in names}


def read_json(path: Path) -> Any:
    """A JSON file, {} if it does not exist."""
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """A JSON Lines file, [] if it does not exist."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a JSON Lines file."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
