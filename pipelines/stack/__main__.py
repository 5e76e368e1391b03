"""`make stack` and `make stack-stop`."""

import argparse
import sys
from pathlib import Path

from components.core.errors import UserError
from pipelines.runs import runs_folder
from pipelines.stack.stack import ENVIRONMENT, LABELS_KEY, NOTE, Stack


def main() -> int:
    """Starts or ends the stack of a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.stack",
        description="PostgreSQL, S3, MLflow, Label Studio and the app on this machine.",
    )
    parser.add_argument("what", choices=("start", "stop"))
    parser.add_argument("--folder", type=Path, default=runs_folder() / "stack")
    parser.add_argument("--keep", action="store_true", help="stop, but keep what the services hold")
    given = parser.parse_args()
    try:
        if given.what == "stop":
            if not (given.folder / NOTE).exists():
                print(f"no stack in {given.folder}")
                return 0
            Stack(given.folder).stop(keep=given.keep)
            return 0
        stack = Stack(given.folder, say=lambda name: print(f"starting {name}", flush=True))
        stack.start()
    except UserError as error:
        print(f"stack: {error}", file=sys.stderr)
        return 2
    ports = stack.ports
    owner = stack.secrets["label-studio-secrets"]["LABEL_STUDIO_USERNAME"]
    print(f"\napp           http://127.0.0.1:{ports['realmat-app']}")
    print(f"MLflow        http://127.0.0.1:{ports['mlflow']}  (admin)")
    print(f"Label Studio  http://127.0.0.1:{ports['label-studio']}  ({owner})")
    print(f"Passwords are in {stack.folder / 'secrets.json'}. To run a recipe on it:")
    print(f"  . {stack.folder / ENVIRONMENT} && realmat run laptop")
    print("To have its images judged there, by people or by the rule in a second shell:")
    print('  realmat run laptop --labels "$LABELS"')
    print('  realmat label rehearse laptop --labels "$LABELS" -n 1000')
    print(f"The key of the API is in {stack.folder / LABELS_KEY}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
