"""`realmat study`: the comparison study, from its creation to its results."""

import argparse
import json
from pathlib import Path
from typing import Any

HELP = "the comparison study"


def add(commands: Any) -> None:
    """Adds the command with its own commands."""
    study = commands.add_parser(
        "study",
        help=HELP,
        description="The blind study that asks people which material looks most real.",
        epilog="example: realmat study results --votes votes.csv",
    )
    kinds = study.add_subparsers(dest="action", required=True, metavar="ACTION")
    results = kinds.add_parser(
        "results",
        help="what the votes say",
        description="Shares with 95 %% intervals, majorities, a sign test, a ranking, agreement.",
        epilog="example: realmat study results --votes votes.csv --json",
    )
    results.add_argument(
        "--votes",
        metavar="FILE",
        required=True,
        help="table with the columns study,participant,trial,choice (.csv or .parquet)",
    )
    results.add_argument("--study", metavar="NAME", default="", help="where the table has several")
    results.add_argument("--json", action="store_true", help="one JSON object")
    results.set_defaults(call=_results)


def _results(given: argparse.Namespace) -> int:
    from apps.study.statistics import with_and_without_flagged
    from apps.study.tables import text_of
    from apps.study.votes import read_votes

    found = with_and_without_flagged(read_votes(Path(given.votes), given.study))
    print(json.dumps(found, indent=2) if given.json else text_of(found))
    return 0
