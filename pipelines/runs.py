"""Where runs lie on this machine, and which of them holds the champion.

Runs go to `runs/<recipe>` of the checkout (of the working directory for an installed package),
or to the folder that `REALMAT_RUNS` names. When a run's model becomes champion, the file
`runs/champion` remembers that run's folder, so that `realmat generate` finds its registry.
"""

import os
from pathlib import Path

from components.core.errors import UserError

CHECKOUT = Path(__file__).resolve().parents[1]


class StageFailed(Exception):
    """A stage ended with an error that is no user's; the message names it and the log."""


def runs_folder() -> Path:
    """Returns the folder of runs."""
    given = os.environ.get("REALMAT_RUNS")
    if given:
        return Path(given)
    return (CHECKOUT if (CHECKOUT / "pyproject.toml").exists() else Path.cwd()) / "runs"


def mark_champion(output: Path) -> None:
    """Remembers the run whose registry holds the champion."""
    note = runs_folder() / "champion"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(f"{output.resolve()}\n")


def registry_uri() -> str:
    """Returns the MLflow address with the registered model: the environment's, or a local run's."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        return given
    note = runs_folder() / "champion"
    database = Path(note.read_text().strip()) / "mlflow.db" if note.exists() else None
    if database is None or not database.exists():
        raise UserError(
            "No champion is registered on this machine: run `make demo` first, set "
            "MLFLOW_TRACKING_URI to a registry, or give a model's folder with --model."
        )
    return f"sqlite:///{database}"
