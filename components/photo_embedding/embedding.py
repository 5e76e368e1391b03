"""Batches of images become files of CLIP features; a batch that is done is not done again.

Making the images (decoding, or rendering the stand-in) runs in processes of its own, since it costs
more than embedding on a GPU and a damaged file may take its process down. A batch may have a rest
(that of a large shard), which is made in the next round: a process never holds more than one batch
of images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from components.core.materials.photo_chunks import Chunk, Decoded, following, singles
from components.core.platform.batches import Arrays, save_arrays
from components.core.platform.cores import cores
from components.core.platform.progress import track
from components.core.realism.clip import ClipFeatures
from components.core.rendering.workers import Failed, Workers


class Maker(Protocol):
    """`Workers`, as far as they are needed here."""

    def run(self, jobs: Sequence[Any], /) -> Iterator[tuple[int, Any]]: ...


def must_not_fail(workers: Maker, job: Any, failure: Failed) -> Decoded:
    """Ends the stage: what this project makes itself is made whole."""
    raise RuntimeError(f"batch {job} could not be made: {failure.reason}")


def one_by_one(workers: Maker, job: Any, failure: Failed) -> Decoded:
    """Reads the images of a chunk anew, each for itself: only what fails then is set aside."""
    assert isinstance(job, Chunk)
    parts, rest = singles(job)
    if not parts:
        reason = f"it could not be read ({failure.reason})"
        return Decoded(np.zeros((0, 1, 1, 3), np.uint8), [], [(job.archive, reason)], job.archive)
    answers = dict(workers.run(list(parts.values())))
    names, images, rejected = [], [], []
    for number, name in enumerate(parts):
        answer = answers[number]
        if isinstance(answer, Failed):
            rejected.append((name, f"it could not be read ({answer.reason})"))
            continue
        names += answer.names
        images.append(answer.images)
        rejected += answer.rejected
    made = np.concatenate(images) if names else np.zeros((0, 1, 1, 3), np.uint8)
    return Decoded(made, names, rejected, job.archive, rest)


@dataclass(frozen=True)
class Batches:
    """jobs: what each batch is made from; prepare returns, in the process, what makes it; failed
    says what becomes of a batch whose process died; keep: the images lie nowhere else."""

    jobs: Sequence[Any]
    prepare: Callable[[], Callable[[Any], Decoded]]
    failed: Callable[[Maker, Any, Failed], Decoded] = must_not_fail
    keep: bool = True
    first: int = 0

    def between(self, start: int, stop: int) -> Batches:
        """Batches `start` to `stop`, which keep their numbers."""
        return replace(self, jobs=self.jobs[start:stop], first=self.first + start)


def embed(batches: Batches, clip: ClipFeatures, work: Path, *, processes: int = 0) -> list[Path]:
    """Embed the batches into files, in their order; those that `work` holds are not made again."""
    work.mkdir(parents=True, exist_ok=True)
    numbers = range(batches.first, batches.first + len(batches.jobs))
    pieces: dict[int, list[Path]] = {number: [] for number in numbers}
    jobs = dict(zip(numbers, batches.jobs, strict=True))
    count = min(processes or cores(), len(jobs))
    with Workers(batches.prepare, count) as workers:
        while jobs:
            for number in jobs:
                pieces[number].append(_file(work, number, len(pieces[number])))
            missing = [number for number in jobs if not pieces[number][-1].exists()]
            files = [pieces[number][-1] for number in missing]
            _make(batches, [jobs[number] for number in missing], files, clip, workers)
            rests = {number: _rest(pieces[number][-1]) for number in jobs}
            jobs = {n: following(job, rests[n]) for n, job in jobs.items() if rests[n]}
    return [file for number in numbers for file in pieces[number]]


def _make(
    batches: Batches,
    jobs: Sequence[Any],
    files: Sequence[Path],
    clip: ClipFeatures,
    workers: Workers[Any, Decoded],
) -> None:
    """Make one file of each job; those whose process died come last."""
    died: list[tuple[int, Failed]] = []

    def keep(place: int, made: Decoded) -> None:
        save_arrays(files[place], _arrays(made, clip, keep=batches.keep))

    for place, answer in track(workers.run(jobs), "embedding photographs", len(jobs)):
        if isinstance(answer, Failed):
            died.append((place, answer))
        else:
            keep(place, answer)
    for place, failure in died:
        keep(place, batches.failed(workers, jobs[place], failure))


def _file(work: Path, number: int, piece: int) -> Path:
    """Where piece `piece` of a batch is kept."""
    return work / f"images-{number:06d}{f'-{piece:05d}' if piece else ''}.npz"


def _rest(file: Path) -> int:
    with np.load(file, allow_pickle=False) as arrays:
        return int(arrays["rest"])


def _arrays(made: Decoded, clip: ClipFeatures, *, keep: bool) -> Arrays:
    features = clip.images(made.images) if made.names else np.zeros((0, clip.dimension))
    arrays: Arrays = {
        "features": features.astype(np.float16),
        "names": np.array(made.names, dtype=np.str_),
        "archive": np.array(made.archive),
        "rejected": np.array(json.dumps(made.rejected)),
        "rest": np.array(made.rest),
    }
    return {**arrays, "images": made.images} if keep else arrays
