"""A run whose images a second process judges, by the rule, at the stack's Label Studio."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipelines.stack.stack import Stack
from tests.pipelines.conftest import EXACT, ROOT
from tests.pipelines.watched_run import Run

LAST = "reward_training"  # the last stage that the judgements themselves reach
# All images, so that it is not the pace of the judging that says which are judged.
SETTINGS = (
    "--set", "annotation_sync.minimum_annotations=48", "--set", "annotation_sync.poll_seconds=0.5",
)  # fmt: skip


def judged_run(stack: Stack, output: Path) -> tuple[Run, str]:
    """The run, which has ended well, and what the judging process said."""
    run = Run(stack, output, "--until", LAST, "--labels", stack.labels, *SETTINGS)
    run.saw("photographs 0/")
    judge = subprocess.run(
        [
            sys.executable, "-m", "pipelines.cli", "label", "rehearse", "smoke",
            "--labels", stack.labels, "-n", "1000",
        ],
        cwd=ROOT, env={**os.environ, **EXACT, **stack.environment}, text=True, check=False,
        capture_output=True,
    )  # fmt: skip
    assert judge.returncode == 0, judge.stderr
    assert run.end() == 0, run.text[-3000:]
    return run, judge.stdout


def rows(output: Path, stage: str, name: str) -> list[dict[str, Any]]:
    """The lines of a file of the one artifact that a stage has made."""
    (file,) = (output / "store" / stage).glob(f"*/{name}")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def judgements(output: Path) -> list[tuple[str, int, str, bool]]:
    """Set, image, label and whether it was of the random share; who said it is left out."""
    found = rows(output, "annotation_sync", "annotations.jsonl")
    return [(row["set"], row["item"], row["label"], row["random"]) for row in found]


def weights(output: Path) -> dict[str, bytes]:
    """The classifiers that spread the labels, and the rewards."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for stage in ("realism_labels", LAST)
        for folder in (output / "store" / stage).iterdir()
        for file in folder.rglob("*.safetensors")
    }
