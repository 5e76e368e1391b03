"""`realmat evaluate`: several generators on the same prompts, seeds and lights."""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import UserError
from pipelines.arguments import find_registry, number

if TYPE_CHECKING:
    from components.core.realism.clip import ClipFeatures, Features
    from components.core.realism.model import RealismModel


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to the parser."""
    command = commands.add_parser(
        "evaluate",
        help="compare generators, and folders of other methods' materials",
        description="Compares generators on the same prompts, seeds and lights; the first is what "
        "the others are compared with. A stopped comparison goes on when started again.",
        epilog="example: realmat evaluate --model small --model models:/realmat@champion -o cmp",
    )
    command.add_argument(
        "--model", metavar="URI", action="append", required=True,
        help="registry URI, folder or 'small'; may be given again",
    )  # fmt: skip
    command.add_argument(
        "--external", metavar="NAME=DIR", action="append", default=[],
        help="another method's materials, a folder for each prompt; may be given again",
    )  # fmt: skip
    command.add_argument("--prompts", metavar="FILE", help="one a line (default: held-out ones)")
    command.add_argument("-n", type=number(2, 100_000), default=16, help="materials of each (16)")
    command.add_argument("--seed", metavar="S", type=number(0, 2**31), default=0)
    command.add_argument("--reward", metavar="URI", help="default: the first model's that has one")
    command.add_argument("--reference", metavar="DIR", help="photographs, for the KID")
    command.add_argument(
        "--votes", metavar="FILE",
        help="people's, of a study of these methods: what realmat study results --json prints",
    )  # fmt: skip
    command.add_argument("--tileable", action="store_true", help="sample edges that fit each other")
    command.add_argument("-o", "--output", metavar="DIR", required=True)
    command.add_argument("--json", action="store_true", help="print report.json")
    command.set_defaults(call=_evaluate)


def _evaluate(given: argparse.Namespace) -> int:
    from components.core.generator import locate
    from components.core.platform.artifacts import hash_folder
    from components.core.realism.clip import ClipFeatures
    from components.core.rendering.embedded import embedded_environments
    from components.core.rendering.scene import Renderer
    from components.evaluation.contest_run import (
        Request,
        drawn_prompts,
        pairs_of,
        read_prompts,
        run_contest,
    )
    from components.evaluation.entrants import external
    from components.evaluation.judges import Judges
    from components.evaluation.preferences import read_preferences

    preferences = read_preferences(Path(given.votes)) if given.votes else []
    for uri in (*given.model, given.reward or ""):
        find_registry(uri)
    externals = dict(_external(text) for text in given.external)
    # An alias may move between a stop and the next start: the version is settled here, once.
    models = {_name(uri): settled(uri) for uri in given.model}
    names = [*models, *externals]
    if len(set(names)) < len(given.model) + len(given.external):
        raise UserError("two methods have the same name: give each --model and --external once")
    prompts = read_prompts(Path(given.prompts)) if given.prompts else None
    request = Request(
        models, externals, prompts or drawn_prompts(given.n, given.seed), given.n, given.seed,
        tileable=given.tileable,
        contents={name: hash_folder(locate(uri)[0]) for name, uri in models.items()},
    )  # fmt: skip
    environments = embedded_environments()
    for folder in externals.values():
        # Read before anything is sampled: a missing folder is told at once.
        external(Path(folder), pairs_of(request, len(environments)))
    used, reward = _reward(given.reward, list(models.values()))
    features = reward.features if reward else ClipFeatures.load("small")
    reference, aside = _reference(given, features)
    sources = {"reward": used, "reference": given.reference, "votes": given.votes}
    judges = Judges(
        Renderer(), environments, features, reward, reference, preferences, aside,
        given={name: text for name, text in sources.items() if text},
    )  # fmt: skip
    report = run_contest(request, judges, Path(given.output))
    if os.environ.get("MLFLOW_TRACKING_URI"):
        _log(report, Path(given.output))
    print(json.dumps(report) if given.json else Path(given.output) / "report.html")
    return 0


def _external(text: str) -> tuple[str, str]:
    name, _, folder = text.partition("=")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) or not folder:
        raise UserError(f"--external {text} must be NAME=DIR, such as MatFuse=results/matfuse.")
    return name, folder


def _name(uri: str) -> str:
    """The model's name in tables and file names."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", uri.removeprefix("models:/")).strip("-.") or "model"


def settled(uri: str) -> str:
    """A registry URI with the number of the version that it stands for now; others as they are."""

    from components.core.generator import registered_version

    if not uri.startswith("models:/"):
        return uri
    found = registered_version(uri)
    return f"models:/{found.name}/{found.version}"


def _log(report: dict[str, Any], folder: Path) -> None:
    """The comparison as an MLflow run; it lies in its folder also where the server is away."""
    from components.core.platform.tracking_errors import tracking_errors
    from components.evaluation.contest_log import log_contest

    try:
        with tracking_errors():
            print(f"MLflow run {log_contest(report, folder)}", file=sys.stderr)
    except UserError as error:
        print(f"not logged: {error}", file=sys.stderr)


def _reward(uri: str | None, models: list[str]) -> "tuple[str, RealismModel | None]":
    """The reward asked for, or that of the first model that has one, and its address."""
    from components.core.generator import load_reward, locate
    from components.core.realism.model import ARTIFACT

    if uri:
        address = settled(uri)
        return address, load_reward(address)
    for model in models:
        folder = locate(model)[0]
        if (folder / ARTIFACT).is_dir():
            return model, load_reward(str(folder))
    return "", None


def _reference(
    given: argparse.Namespace, features: "ClipFeatures"
) -> "tuple[Features | None, list[str]]":
    """Features of the reference photographs, and "file: reason" of those set aside."""
    from components.core.materials.photos import list_images, read_photos

    if not given.reference:
        return None, []
    root = Path(given.reference)
    photos = read_photos(list_images(root), 256)
    if len(photos.kept) < 2:
        raise UserError(
            f"--reference {root}: expected a folder with at least two photographs that can be "
            f"read, found {len(photos.kept)}: give another folder"
        )
    aside = [f"{file.relative_to(root)}: {reason}" for file, reason in photos.rejected]
    return features.images(photos.images), aside
