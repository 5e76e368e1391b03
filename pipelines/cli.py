"""The command `realmat`: what it understands, and how it ends.

Exit code 0: done. 2: the user gave something that cannot be used, told in one sentence on the
error stream. 1: a stage or check failed. Modules that compute are imported by the commands that
need them, so that `realmat --help` answers at once.
"""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from components.core.errors import UserError
from pipelines import (
    commands_ablate,
    commands_evaluate,
    commands_label,
    commands_library,
    commands_machine,
    commands_materials,
    commands_pipeline,
    commands_plan,
    commands_registry,
    commands_study,
)
from pipelines.runs import StageFailed


class Parser(argparse.ArgumentParser):
    """Answers wrong arguments as every other bad input: one sentence and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with the sentence."""
        print(f"realmat: {message} (see `{self.prog} --help`).", file=sys.stderr)
        sys.exit(2)


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    top: argparse.ArgumentParser = Parser(
        prog="realmat",
        description="Realistic PBR materials from text: train the generator and use it.",
        epilog="example: realmat generate 'old red brick wall' -o brick",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands_pipeline.add(commands)
    commands_plan.add(commands)
    commands_ablate.add(commands)
    commands_materials.add(commands)
    commands_evaluate.add(commands)
    commands_library.add(commands)
    commands_label.add(commands)
    commands_study.add(commands)
    commands_registry.add(commands)
    commands_machine.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    given = parser().parse_args(arguments)
    try:
        return int(given.call(given))
    except UserError as error:
        print(f"realmat: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _refused(error)
    except StageFailed as error:
        print(f"realmat: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("realmat: stopped; the same command continues where it was.", file=sys.stderr)
        return 130


def _refused(error: OSError) -> int:
    """Answers what the operating system refuses (no space, no right) in one sentence."""
    known = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
    if error.errno not in (*known, errno.EISDIR, errno.ENAMETOOLONG, errno.EEXIST, errno.ENOENT):
        raise error
    name = error.filename or "the output"
    print(f"realmat: {name}: {error.strerror}: give another path or mend this.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
