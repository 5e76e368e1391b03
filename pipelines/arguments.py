"""Arguments that several commands share."""

import argparse
import os
import re
from collections.abc import Callable

from pipelines.runs import registry_uri

CHAMPION = "models:/realmat@champion"


def add_model(command: argparse.ArgumentParser, what: str = "") -> None:
    """Adds `--model`; `what` says which models will do."""
    command.add_argument(
        "--model", metavar="URI", default=CHAMPION,
        help=f"{what}registry URI or folder ({CHAMPION})",
    )  # fmt: skip


def number(low: int, high: int) -> Callable[[str], int]:
    """Returns a converter of whole numbers in [low, high]."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"-?\d+", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is no whole number from {low} to {high}")
        return int(text)

    return convert


def find_registry(model: str) -> None:
    """Lets MLflow read the registry that holds `models:/…`."""
    if model.startswith("models:/"):
        from components.core.platform.tracking import quiet_mlflow

        os.environ["MLFLOW_TRACKING_URI"] = registry_uri()
        quiet_mlflow()
