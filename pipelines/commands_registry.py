"""`realmat rollback`: the way back to an earlier champion."""

import argparse
import json
import os
from dataclasses import asdict

from pipelines.runs import registry_uri


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to the parser."""
    command = commands.add_parser(
        "rollback",
        help="make an earlier model the champion again",
        description="Points the registry's alias `champion` at the version that had it before, "
        "and the reward's at that version's reward. Running apps follow within seconds; no later "
        "run promotes the withdrawn version by itself.",
        epilog="example: realmat rollback --to 3",
    )
    command.add_argument("--name", metavar="MODEL", default="realmat", help="default: realmat")
    command.add_argument("--to", metavar="VERSION", default="", help="an earlier champion")
    command.add_argument("--list", action="store_true", help="only show who was champion when")
    command.add_argument("--json", action="store_true", help="one JSON object")
    command.set_defaults(call=_rollback)


def _rollback(given: argparse.Namespace) -> int:
    os.environ["MLFLOW_TRACKING_URI"] = registry_uri()
    from components.core.platform.tracking import quiet_mlflow

    quiet_mlflow()
    from mlflow import MlflowClient

    from components.core.platform.tracking_errors import tracking_errors
    from components.registration.promotion import promotions, rollback

    client = MlflowClient()
    with tracking_errors():
        before, after = ("", "") if given.list else rollback(client, given.name, given.to)
        known = promotions(client, given.name)
    if given.json:
        moved = {} if given.list else {"before": before, "after": after}
        rows = [asdict(one) for one in known]
        print(json.dumps({"name": given.name, **moved, "promotions": rows}))
        return 0
    if not given.list:
        print(f"{given.name}: version {after} is champion again, version {before} is withdrawn")
    for one in known:
        notes = [f"promoted {one.promoted}"]
        notes += [f"withdrawn {one.withdrawn}"] if one.withdrawn else []
        notes += ["champion"] if one.champion else []
        print(f"  version {one.version}: {', '.join(notes)}")
    return 0
