"""A stage that trains in several processes: started on this machine or on a cluster's nodes.

The stage's own process makes nothing but the processes, follows them, and ends as they do; each of
them is a module that is given the work folder and does its work within `ending_well`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from components.core.errors import UserError
from components.core.platform.full_disk import naming_full_disk
from components.core.platform.heartbeat import beating
from components.core.platform.lifeline import follow_lifeline
from components.core.platform.preemption import Preempted
from components.core.platform.torchrun import shutdown_option, torchrun_here, train_here
from components.core.platform.trainjob import train_on_nodes

FAILURE = "failure.txt"
"""File of the work folder with the sentence of a user's error that a training process found."""
HEARTBEAT = "heartbeat"
"""File of the work folder that tells nodes on other machines that the stage lives."""


def train_in_group(
    stage: str, module: str, work: Path, *, nodes: int, processes: int, watch: Callable[[], None]
) -> None:
    """Run `module` with the folder `work` in nodes times processes, calling `watch` meanwhile.

    What the user gave wrong and a training process found raises UserError with its sentence.
    """
    failure = work / FAILURE
    failure.unlink(missing_ok=True)
    try:
        if nodes > 1:
            # The runtime sets PET_* variables, by which torchrun knows its node and its peers.
            with beating(work / HEARTBEAT):
                train_on_nodes(
                    stage, work.stem, nodes=nodes, processes=processes,
                    command=[
                        "python", "-m", "components.core.platform.node", str(work / HEARTBEAT),
                        shutdown_option(), "-m", module, str(work),
                    ],
                    watch=watch,
                )  # fmt: skip
        else:
            train_here(torchrun_here([module, str(work)], processes), processes, watch)
    except UserError as error:
        if failure.exists():
            raise UserError(failure.read_text(encoding="utf-8")) from error
        raise


@contextmanager
def ending_well(stage: str, work: Path) -> Iterator[None]:
    """Within this, a training process turns a user's error into exit code 2, and the orderly end
    of a preempted one into 143. Every process says what it found; a preemption is said once. It
    ends at once when the stage that started it on the same machine is gone."""
    follow_lifeline()
    _forget_earlier(work)
    try:
        with naming_full_disk(work):
            yield
    except UserError as error:
        _leave_reason(stage, str(error), work)
        sys.exit(2)
    except Preempted as end:
        if _rank() == 0:
            print(f"{stage}: {end}", flush=True)
        sys.exit(end.code)


def _forget_earlier(work: Path) -> None:
    """Remove the reason of an earlier attempt: a cluster starts a node's process again by itself.

    The first process alone does so, for the sake of a stage whose processes then end without one.
    """
    failure = work / FAILURE
    if _rank() == 0 and _is_stale(failure):
        failure.unlink(missing_ok=True)


def _is_stale(failure: Path) -> bool:
    """Whether a reason is older than this process: the processes of an attempt start together, and
    take seconds to fail. The file server's clock is taken to agree with this machine's."""
    try:
        return failure.stat().st_mtime < psutil.Process().create_time()
    except FileNotFoundError:
        return False


def _leave_reason(stage: str, reason: str, work: Path) -> None:
    """Print why a process ends, and leave it for the stage unless another process has done so.

    Where all stop for the same reason, one of them says it.
    """
    failure = work / FAILURE
    if _is_stale(failure):
        failure.unlink(missing_ok=True)
    try:
        with failure.open("x", encoding="utf-8") as file:
            file.write(reason)
    except FileExistsError:
        with suppress(FileNotFoundError):
            if failure.read_text(encoding="utf-8") == reason:
                return
    except OSError as error:  # the disk may be full, which then is the reason: it is printed
        failure.unlink(missing_ok=True)
        print(f"{stage}: {failure} cannot be written ({error})", flush=True)
    print(f"{stage}: process {_rank()}: {reason}", flush=True)


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))
