"""Shards made side by side in processes, which may die, raise or dawdle over a sample.

A process tells which sample it begins. One that dies or takes too long gives its shard back, to be
made again; a sample at which that happened `ATTEMPTS` times is left out then, with the reason.
Shards that a restarted stage finds whole are not made again.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from components.core.materials.files import write_whole
from components.core.platform.cores import cores
from components.core.platform.progress import track
from components.core.rendering.threads import prepare_with_share
from components.core.rendering.workers import Failed, Workers
from components.synthetic_data.plan import Plan
from components.synthetic_data.worker import ATTEMPTS, Lines, Shard, prepare

SHARDS_A_PROCESS = 8  # then a fresh one takes over, whatever the renderer may have leaked
SHARE = 0.01
"""Of a task's samples that may be left out; more says that something else is wrong."""

log = logging.getLogger(__name__)


def make_shards(plan: Plan, environments: Sequence[Path], folder: Path) -> list[Path]:
    """Make this task's shards that `folder` lacks, in parallel; returns all of them in order."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {number: folder / f"{number:05d}.tar" for number in plan.own_shards}
    # The index is written last, so a shard that has one is whole.
    missing = {number: file for number, file in files.items() if not index_of(file).exists()}
    losses = Losses(sum(len(plan.numbers(number)) for number in files))
    for number in files.keys() - missing.keys():
        losses.count(read_lines(files[number]))
    processes = min(plan.config.processes or cores(), len(missing))
    work = partial(prepare, plan, environments)
    if plan.config.renderings:
        work = partial(prepare_with_share, processes, work)
    workers = Workers[Shard, Lines](
        work, processes, SHARDS_A_PROCESS, plan.config.sample_timeout, attempts=1
    )
    with workers:
        for file, lines in track(_made(workers, missing, losses), "shards", len(missing)):
            text = "".join(json.dumps(line) + "\n" for line in lines)
            write_whole(index_of(file), text.encode())
            losses.count(lines)
    return list(files.values())


def index_of(shard: Path) -> Path:
    """Where a shard's lines of the index wait for those of the others."""
    return shard.with_suffix(".jsonl")


def read_lines(shard: Path) -> Lines:
    """A made shard's lines of the index, of samples that it lacks too."""
    lines = index_of(shard).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


class Losses:
    """Counts the samples of a task that are left out; RuntimeError when they are too many."""

    def __init__(self, samples: int) -> None:
        self.samples, self.found = samples, 0

    def count(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Look through the lines of one more shard."""
        reasons = [str(line["failed"]) for line in lines if "failed" in line]
        self.found += len(reasons)
        self.check(0, reasons[-1] if reasons else "")

    def check(self, unfinished: int, reason: str) -> None:
        """Judge what was counted, and what shards that are not finished have lost so far."""
        lost = self.found + unfinished
        if lost > max(1.0, SHARE * self.samples):
            raise RuntimeError(
                f"{lost} of {self.samples} grids could not be made, over {SHARE:.0%}; "
                f"the last: {reason}"
            )


def _made(
    workers: Workers[Shard, Lines], missing: Mapping[int, Path], losses: Losses
) -> Iterator[tuple[Path, Lines]]:
    """Every shard's file and lines, as they are done."""
    left_out: dict[int, dict[int, str]] = {number: {} for number in missing}
    failures: Counter[tuple[int, int | None]] = Counter()
    waiting = list(missing)
    while waiting:
        jobs = [Shard(number, missing[number], left_out[number]) for number in waiting]
        again: list[int] = []
        for place, answer in workers.run(jobs):
            number = waiting[place]
            if not isinstance(answer, Failed):
                left_out.pop(number)
                yield missing[number], answer
                continue
            again.append(number)
            failures[number, answer.step] += 1
            log.warning("shard %d, sample %s: %s", number, answer.step, answer.reason)
            if failures[number, answer.step] >= ATTEMPTS:
                if answer.step is None:
                    raise RuntimeError(f"shard {number} could not be made: {answer.reason}")
                left_out[number][answer.step] = answer.reason
                # What always fails would else be found out a whole shard at a time.
                losses.check(sum(map(len, left_out.values())), answer.reason)
        waiting = again
