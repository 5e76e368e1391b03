"""`realmat study`: the comparison study, from its creation to its results."""

import argparse
import json
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from pipelines.arguments import number
from pipelines.runs import runs_folder

HELP = "the comparison study: create, results, export, flag, close"


def add(commands: Any) -> None:
    """Adds the command with its own commands."""
    study = commands.add_parser(
        "study",
        help=HELP,
        description="The blind study that asks people which material looks most real.",
        epilog="example: realmat study results before-after",
    )
    kinds = study.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_create(kinds)
    _add_results(kinds)
    export = kinds.add_parser(
        "export",
        help="the votes as a table",
        description="Writes all votes, or what was preferred to what, as .csv or .parquet.",
        epilog="example: realmat study export before-after -o votes.parquet",
    )
    export.add_argument("name", metavar="NAME")
    export.add_argument("-o", "--output", metavar="FILE", required=True, help=".csv or .parquet")
    export.add_argument(
        "--preferences",
        action="store_true",
        help="pairs of preferred and other, to train on (as .parquet with their images)",
    )
    add_place(export)
    export.set_defaults(call=_export)
    flag = kinds.add_parser(
        "flag",
        help="mark a participant as doubtful",
        description="Results are then given with and without them; votes are never removed.",
        epilog="example: realmat study flag before-after 17 --reason 'failed every catch trial'",
    )
    flag.add_argument("name", metavar="NAME")
    flag.add_argument("participant", metavar="NUMBER", help="as in the exported votes")
    flag.add_argument("--reason", metavar="TEXT", default="doubtful", help='"" takes it back')
    add_place(flag)
    flag.set_defaults(call=_flag)
    close = kinds.add_parser(
        "close",
        help="let nobody new take part",
        description="Those who have begun may finish; results stay where they are.",
        epilog="example: realmat study close before-after",
    )
    close.add_argument("name", metavar="NAME")
    close.add_argument("--reopen", action="store_true", help="let people take part again")
    add_place(close)
    close.set_defaults(call=_close)


def _add_create(kinds: Any) -> None:
    create = kinds.add_parser(
        "create",
        help="make a study of an evaluation or of folders of results",
        description="Renders what is compared and deals it into sub-surveys; `realmat serve` shows "
        "the study at /study/NAME.",
        epilog="example: realmat study create before-after --evaluation "
        "runs/laptop/store/evaluation/KEY",
    )
    create.add_argument("name", metavar="NAME", help="part of the study's address")
    create.add_argument(
        "--evaluation", metavar="DIR", help="an evaluation's artifact: before against after"
    )
    create.add_argument(
        "--method", metavar="NAME=DIR", action="append", default=[],
        help="a method's results: pictures, loops or material folders; give two or three",
    )  # fmt: skip
    create.add_argument("--loops", action="store_true", help="60 frames under a moving light")
    create.add_argument("--per-survey", metavar="N", type=number(1, 1000), default=20)
    create.add_argument("--catch", metavar="SHARE", type=float, default=0.1)
    create.add_argument("--repeats", metavar="SHARE", type=float, default=0.05)
    create.add_argument("--seconds", metavar="S", type=float, default=1.0, help="minimum to look")
    create.add_argument("--question", metavar="TEXT", default="")
    create.add_argument("--seed", metavar="N", type=number(0, 2**31 - 1), default=0)
    add_place(create)
    create.set_defaults(call=_create)


def _add_results(kinds: Any) -> None:
    results = kinds.add_parser(
        "results",
        help="what the votes say",
        description="Shares with 95 %% intervals, majorities, a sign test, a ranking, agreement.",
        epilog="example: realmat study results --votes votes.csv --json",
    )
    results.add_argument("name", metavar="NAME", nargs="?", default="")
    results.add_argument(
        "--votes",
        metavar="FILE",
        help="instead, a table with the columns study,participant,trial,choice (.csv, .parquet)",
    )
    results.add_argument("--study", metavar="NAME", default="", help="where the table has several")
    results.add_argument("--json", action="store_true", help="one JSON object")
    add_place(results)
    results.set_defaults(call=_results)


def add_place(command: Any) -> None:
    """Adds where the studies are."""
    command.add_argument(
        "--data", metavar="DIR", default="", help="media and database (default: runs/study)"
    )
    command.add_argument(
        "--database", metavar="URL", default="",
        help="sqlite:///FILE or postgresql+psycopg2://… (default: REALMAT_STUDY_DATABASE, or a "
        "file in --data)",
    )  # fmt: skip


def place_of(given: argparse.Namespace) -> Any:
    """Where the studies are that a command means."""
    from apps.study.place import Place

    return Place(Path(given.data) if given.data else runs_folder() / "study", given.database)


def _create(given: argparse.Namespace) -> int:
    if bool(given.evaluation) == bool(given.method):
        raise UserError(
            "Give what is compared: either --evaluation DIR or several --method NAME=DIR."
        )
    from apps.study.design import Design, check_name, create
    from apps.study.media import SIZE
    from apps.study.sources import from_evaluation, from_folders
    from components.core.platform.progress import track
    from components.core.rendering.environments import load_environments
    from components.core.rendering.scene import Renderer

    design = Design(
        per_survey=given.per_survey, catch_share=given.catch, repeat_share=given.repeats,
        minimum_seconds=given.seconds, question=given.question, seed=given.seed,
    )  # fmt: skip
    place = place_of(given)
    database = place.database()
    check_name(database, given.name)
    renderer, lights = Renderer(SIZE, 16, 96, wrap="mirror"), load_environments("")
    if given.evaluation:
        found = from_evaluation(Path(given.evaluation), renderer, lights, loops=given.loops)
    else:
        found = from_folders(_methods(given.method), renderer, lights)
    study = create(
        database, place.media, given.name, found, design,
        progress=lambda items: track(items, "comparisons"),
    )  # fmt: skip
    print(
        f"{study.name}: {len(found)} comparisons of {', '.join(study.methods)} in "
        f"{study.surveys} sub-surveys. `realmat serve` shows it at /study/{study.name}."
    )
    return 0


def _methods(given: list[str]) -> dict[str, Path]:
    methods: dict[str, Path] = {}
    for text in given:
        name, sign, folder = text.partition("=")
        if not sign or not name or not folder:
            raise UserError(f"--method {text} is not of the form NAME=DIR: write it so.")
        methods[name] = Path(folder)
    if not 2 <= len(methods) <= 3:
        raise UserError(f"{len(methods)} methods cannot be compared: give two or three.")
    return methods


def _results(given: argparse.Namespace) -> int:
    if bool(given.name) == bool(given.votes):
        raise UserError("Give the name of a study, or --votes FILE.")
    from apps.study.statistics import with_and_without_flagged
    from apps.study.tables import text_of
    from apps.study.votes import read_votes

    if given.votes:
        found = with_and_without_flagged(read_votes(Path(given.votes), given.study))
    else:
        from apps.study.export import methods_of, votes_of

        database = place_of(given).database()
        votes = votes_of(database, given.name)
        found = with_and_without_flagged(votes, methods_of(database, given.name))
        if not found["votes"]:
            raise UserError(f"Nobody has voted in the study '{given.name}' yet.")
    print(json.dumps(found, indent=2) if given.json else text_of(found))
    return 0


def _export(given: argparse.Namespace) -> int:
    from apps.study.export import methods_of, preferences, table_bytes, votes_of, with_images
    from components.core.materials.files import write_whole

    place, output = place_of(given), Path(given.output)
    database = place.database()
    table = votes_of(database, given.name)
    if given.preferences:
        table = preferences(table, methods_of(database, given.name))
        if output.suffix.lower() == ".parquet":
            table = with_images(table, database, given.name, place.media)
    write_whole(output, table_bytes(table, output.suffix))
    print(f"{output}: {len(table)} rows")
    return 0


def _flag(given: argparse.Namespace) -> int:
    from apps.study.export import flag

    flag(place_of(given).database(), given.name, given.participant, given.reason)
    print(f"participant {given.participant}: {given.reason or 'no longer marked'}")
    return 0


def _close(given: argparse.Namespace) -> int:
    from apps.study.export import close

    close(place_of(given).database(), given.name, not given.reopen)
    print(f"{given.name}: {'open again' if given.reopen else 'closed'}")
    return 0
