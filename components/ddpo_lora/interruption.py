"""SIGTERM in the middle of an epoch: all processes end at the same point, with what is saved.

An epoch is sampled from one policy and lasts ten minutes and more at full size, longer than a
cluster waits, so it is given up: the checkpoint of the last finished one is there, and the epoch
draws the same numbers again when the run continues, which makes the result that of no interruption.

Finished forward batches could be kept instead. At full size one of 8 has 13 MB of states for every
sample, its scores may still be on their way through the render processes, and the update needs all
of an epoch's samples before its first step: most of an epoch would be saved only near its end, at
the price of a second kind of checkpoint in every process. The expected loss is half an epoch of
110 for each interruption.

Where interruptions come more often than epochs end, a run gets nowhere, and says so: beside its
checkpoints stands how often it has begun the epoch that it is in.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.core.materials.files import write_whole
from components.core.platform.preemption import Preempted, noticing_sigterm
from components.ddpo_lora.parallel import Group

Pause = Callable[[], None]

TOO_OFTEN = 3
"""Beginnings of one epoch from which on they are told of."""


def no_pause() -> None:
    """Never ends anything."""


def begin_epoch(work: Path, epoch: int) -> str:
    """Note in the folder `work` that an epoch begins; returns a warning if it has too often."""
    file = work / "begun.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    times = before["times"] + 1 if before.get("epoch") == epoch else 1
    write_whole(file, json.dumps({"epoch": epoch, "times": times}).encode())
    if times < TOO_OFTEN:
        return ""
    return (
        f"epoch {epoch} was begun {times - 1} times before and never ended; an epoch that is "
        "interrupted begins anew, so let the run go on for longer at a time"
    )


class Interruption:
    """Raises `Preempted` when called, once any process of the group has been asked to end.

    All processes must call it equally often: between forward batches and optimizer steps.
    finished: epochs that are saved, for the message.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._asked: Callable[[], bool] = lambda: False
        self.finished = 0

    @contextmanager
    def noticing(self) -> Iterator[None]:
        """Within this, SIGTERM ends nothing but waits for the next call."""
        with noticing_sigterm() as asked:
            self._asked = asked
            yield

    def __call__(self) -> None:
        if self._group.sum([float(self._asked())])[0] > 0.0:
            raise Preempted(
                f"stopped by SIGTERM in epoch {self.finished}; the {self.finished} epochs before "
                "are saved: start again to continue"
            )
