"""The compiled pipeline on one machine with stages that only write down that they ran."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cluster import compile_pipeline
from pipelines.local import truncate
from pipelines.recipe import STAGES, load_recipe

STAGE = """
import json, os
from pathlib import Path
def run_task(stage, *, output, settings=None, **rest):
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    alias = (settings or {}).get("alias", "")
    (folder / "gate.json").write_text(json.dumps({"verdict": os.environ["VERDICT"]}))
    (folder / "registration.json").write_text(json.dumps({"alias": alias}))
    with open(os.environ["RAN"], "a") as file:
        file.write(f"{stage} {alias}\\n")
"""
ARTIFACTS = """
from types import SimpleNamespace
read_manifest = lambda path: SimpleNamespace(seconds=1.0)
located = lambda path: path
"""
RUN = """
import sys
from kfp import components, local
local.init(local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[2])
components.load_component_from_file(sys.argv[1])(parent_run="given")
"""


def ran(folder: Path, verdict: str, until: str = "") -> list[str]:
    """The stages that ran, each with the alias it was told, when the gate says `verdict`."""
    platform = folder / "stand-in" / "components" / "core" / "platform"
    platform.mkdir(parents=True)
    for package in (platform.parents[1], platform.parents[0], platform):
        (package / "__init__.py").write_text("")
    (platform / "stage.py").write_text(STAGE)
    (platform / "artifacts.py").write_text(ARTIFACTS)
    pipeline = compile_pipeline(load_recipe("smoke"), folder / "p.yaml")
    if until:
        truncate(pipeline, until)
    environment = {
        **os.environ, "VERDICT": verdict, "RAN": str(folder / "ran"),
        "PYTHONPATH": str(folder / "stand-in"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(pipeline), str(folder / "root")],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return (folder / "ran").read_text().splitlines()


@pytest.mark.parametrize("verdict", ["champion", "candidate"])
def test_the_branch_of_the_verdict_runs_and_the_other_does_not(
    tmp_path: Path, verdict: str
) -> None:
    lines = ran(tmp_path, verdict)
    assert [line for line in lines if line.startswith("registration")] == [
        f"registration {verdict}"
    ]
    assert {line.split()[0] for line in lines} == set(STAGES)


def test_a_run_may_end_with_the_gate(tmp_path: Path) -> None:
    lines = ran(tmp_path, "champion", "promotion_gate")
    assert {line.split()[0] for line in lines} == set(STAGES) - {"registration"}
