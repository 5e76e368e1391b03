"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.runs import registry_uri

if TYPE_CHECKING:
    from pipelines.local import Sources
    from pipelines.recipe import Recipe

CHAMPION = "models:/realmat@champion"


def add_model(command: argparse.ArgumentParser, what: str = "") -> None:
    """Adds `--model`; `what` says which models will do."""
    command.add_argument(
        "--model", metavar="URI", default=CHAMPION,
        help=f"{what}registry URI or folder ({CHAMPION})",
    )  # fmt: skip


def add_sources(command: argparse.ArgumentParser) -> None:
    """Adds what a run can be given in place of the embedded data (`Sources`)."""
    for name, what in (
        ("photos", "folder or s3:// address of photographs of materials"),
        ("environments", "folder, s3:// or catalogue's address of .hdr or .exr environment maps"),
        ("materials", "folder, s3:// or catalogue's address of PBR material sets"),
    ):
        command.add_argument(
            f"--{name}",
            metavar="URI",
            action="append",
            default=[],
            help=f"{what}; may be given again",
        )
    command.add_argument(
        "--examples",
        metavar="URI",
        default="",
        help="folder or s3:// address of example photographs that the search is to find, one "
        "sub-folder a category",
    )
    command.add_argument(
        "--preferences",
        metavar="URI",
        default="",
        help="table of `realmat study export --preferences`: votes that train the reward too",
    )
    command.add_argument(
        "--labels",
        metavar="URI",
        default="",
        help="have people judge: label-studio://HOST/PROJECT (see `realmat label --help`)",
    )


def sources_of(given: argparse.Namespace, recipe: Recipe) -> Sources:
    """Returns what `add_sources` was given, with the recipe's own lights where no others are.

    Paths become absolute: stages run elsewhere.
    """
    from pipelines.local import Sources

    def absolute(uri: str) -> str:
        return str(Path(uri).expanduser().absolute()) if uri and "://" not in uri else uri

    def together(uris: list[str]) -> str:
        return ",".join(map(absolute, uris))

    return Sources(
        photos=together(given.photos),
        examples=absolute(given.examples),
        environments=together(given.environments) or absolute(recipe.shared.environments),
        materials=together(given.materials),
        labels=given.labels,
        preferences=absolute(given.preferences),
    )


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
