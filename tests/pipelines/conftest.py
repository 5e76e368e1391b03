"""One undisturbed run of the smoke recipe, which several modules look at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXACT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Runs that are compared to the last bit: on a busy machine, MKL may share a sum differently."""


def realmat(*arguments: str, runs: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **EXACT, "REALMAT_RUNS": str(runs)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    done = realmat("run", "smoke", runs=runs)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return runs / "smoke"
