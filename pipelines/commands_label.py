"""`realmat label`: what people judge in Label Studio, by hand instead of within a run."""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import UserError
from components.core.materials.files import write_whole
from pipelines.arguments import number
from pipelines.runs import runs_folder

if TYPE_CHECKING:
    from components.annotation_sync.config import Config as AnnotationSync
    from labeling.agreement import Agreement
    from labeling.label_studio import LabelStudioSource
    from labeling.record import Record

HELP = "realism labels by people in Label Studio: push, pull, status, rehearse"
PROJECT = "label-studio://localhost:8080/RealMat%20realism"


def add(commands: Any) -> None:
    """Adds the command with its own commands."""
    label = commands.add_parser(
        "label",
        help=HELP,
        description="Sends images to Label Studio and brings the judgements back. The address is "
        "label-studio://HOST[:PORT]/PROJECT[?images=inline|local:FOLDER|s3://BUCKET/PREFIX] (or "
        "LABEL_STUDIO_URL), the key is LABEL_STUDIO_API_KEY or in LABEL_STUDIO_API_KEY_FILE.",
        epilog=f"example: realmat label status --labels {PROJECT}",
    )
    kinds = label.add_subparsers(dest="action", required=True, metavar="ACTION")
    push = _command(
        kinds, "push", "offer a run's images for judgement; pushing again adds nothing",
        f"realmat label push laptop --labels {PROJECT}", _push,
    )  # fmt: skip
    _add_recipe(push)
    push.add_argument("--output", metavar="DIR", help="folder of the run (default: runs/RECIPE)")
    pull = _command(
        kinds, "pull", "write the judgements that exist by now, one JSON object a line",
        f"realmat label pull --labels {PROJECT} -o judgements.jsonl", _pull,
    )  # fmt: skip
    pull.add_argument("-o", "--output", metavar="FILE", required=True, help="a .jsonl file")
    status = _command(
        kinds, "status", "how many images are judged, and how well people agree",
        f"realmat label status --labels {PROJECT} --json", _status,
    )  # fmt: skip
    status.add_argument("--json", action="store_true", help="for scripts")
    status.add_argument("--threshold", metavar="SHARE", type=float, default=0.6,
                        help="agreement below which somebody is flagged (0.6)")  # fmt: skip
    rehearse = _command(
        kinds, "rehearse", "let the recipe's simulated annotator judge at the server, as a trial",
        f"realmat label rehearse laptop --labels {PROJECT} -n 100", _rehearse,
    )  # fmt: skip
    _add_recipe(rehearse)
    rehearse.add_argument("-n", "--count", metavar="N", type=number(1, 1_000_000), default=100)


def _command(
    kinds: Any, name: str, summary: str, example: str, call: Any
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = kinds.add_parser(
        name,
        help=summary,
        description=f"{summary[:1].upper()}{summary[1:]}.",
        epilog=f"example: {example}",
    )
    command.add_argument("--labels", metavar="URI", default="", help="address of the project")
    command.set_defaults(call=call)
    return command


def _add_recipe(command: argparse.ArgumentParser) -> None:
    command.add_argument("recipe", metavar="RECIPE", nargs="?", default="laptop")
    command.add_argument("--set", dest="settings", metavar="STAGE.KEY=VALUE", action="append",
                         default=[], help="change one setting of the recipe")  # fmt: skip


def _source(labels: str, settings: "AnnotationSync | None" = None) -> "LabelStudioSource":
    """settings: what a project is made with, where one has to be made."""
    from components.annotation_sync.config import Config as AnnotationSync
    from labeling.address import parse
    from labeling.label_studio import connect, default_address

    of = settings or AnnotationSync()
    address = parse(labels) if labels else default_address(of.project)
    return connect(address, overlap=of.overlap, patience=30)


def _push(given: argparse.Namespace) -> int:
    from components.annotation_sync.stage import all_tasks, make_doubt
    from pipelines.recipe import load_recipe

    recipe = load_recipe(given.recipe, given.settings)
    output = Path(given.output) if given.output else runs_folder() / recipe.name
    found = [
        _newest(output, stage, recipe.name) for stage in ("photo_retrieval", "material_sampling")
    ]
    settings = recipe.annotation_sync
    tasks = all_tasks(settings, *found)
    source = _source(given.labels, settings)
    new = source.push(tasks)
    judged = source.pull(tasks).annotations
    scores = make_doubt(settings, tasks).scores(judged)
    source.order(tasks, scores.tolist(), f"after {len(judged)} judgements")
    print(f"{len(tasks)} images are in the project, {new} of them new")
    return 0


def _newest(output: Path, stage: str, recipe: str) -> Path:
    """The newest finished artifact of a stage in a run's folder."""
    finished = sorted(
        (output / "store" / stage).glob("*/manifest.json"), key=lambda file: file.stat().st_mtime
    )
    if not finished:
        raise UserError(
            f"{output} holds no finished {stage}: run `realmat run {recipe} --until {stage}` first."
        )
    return finished[-1].parent


def _pull(given: argparse.Namespace) -> int:
    rows = [
        {
            "key": record.key,
            "set": record.set,
            "label": word.label,
            "skipped": word.label is None,
            "annotator": word.annotator,
            "judged_at": word.at,
            "random": record.random,
            "seconds": word.seconds,
        }
        for record in _source(given.labels).records()
        for word in record.words
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    write_whole(Path(given.output), text.encode())
    print(f"{len(rows)} judgements in {given.output}")
    return 0


def _status(given: argparse.Namespace) -> int:
    records = _source(given.labels).records()
    agreed = _agreement(records, given.threshold)
    sets = {name: _summary(r for r in records if r.set == name) for name in _names(records)}
    if given.json:
        print(json.dumps({"sets": sets, "agreement": agreed.row()}))
        return 0
    for name, numbers in sets.items():
        labels = ", ".join(f"{count} {label}" for label, count in numbers["labels"].items())
        print(f"{name}: {numbers['judged']} of {numbers['images']} judged"
              f"{f' ({labels})' if labels else ''}")  # fmt: skip
    if agreed.alpha is not None:
        print(f"Krippendorff's alpha {agreed.alpha:.2f} on {agreed.shared} shared images")
    for person in agreed.annotators:
        share = "" if person.agreement is None else f", agrees with {person.agreement:.0%}"
        bias = "" if person.bias is None else f", bias {person.bias:+.0%}"
        flag = ": LOOK AT THESE JUDGEMENTS" if person.flagged else ""
        print(f"{person.annotator}: {person.judged} judged{share}{bias}{flag}")
    return 0


def _names(records: Iterable["Record"]) -> list[str]:
    return sorted({record.set for record in records if record.key})


def _summary(records: Iterable["Record"]) -> dict[str, Any]:
    listed = list(records)
    labels = Counter(w.label for r in listed for w in r.words if w.label is not None)
    return {
        "images": len(listed),
        "judged": sum(any(w.label for w in record.words) for record in listed),
        "skipped": sum(w.label is None for record in listed for w in record.words),
        "labels": dict(sorted(labels.items())),
    }


def _agreement(records: Iterable["Record"], threshold: float) -> "Agreement":
    from labeling.agreement import Said, agreement

    return agreement(
        (
            Said(record.key, word.annotator, word.label)
            for record in records
            for word in record.words
            if word.label is not None
        ),
        threshold,
    )


def _rehearse(given: argparse.Namespace) -> int:
    import httpx

    from components.annotation_sync.stage import simulated_annotator
    from labeling.label_studio import read_key
    from labeling.rehearsal import Rehearsal
    from pipelines.recipe import load_recipe

    annotator = simulated_annotator(load_recipe(given.recipe, given.settings).annotation_sync)
    source = _source(given.labels)
    headers = {"Authorization": f"Token {read_key(os.environ)}"}
    with httpx.Client(base_url=source.address.server, headers=headers, timeout=60) as http:
        judged = Rehearsal(source.client, http, annotator).judge(source.project(), given.count)
    print(f"{judged} images judged by the simulated annotator")
    return 0
