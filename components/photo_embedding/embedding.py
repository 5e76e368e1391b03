"""Batches of images become files of CLIP features; a batch that is done is not done again.

Making the images (decoding, or rendering the stand-in) runs in processes of its own, since it costs
more than embedding on a GPU and a damaged file may take its process down.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from components.core.materials.photo_chunks import Chunk, Decoded
from components.core.platform.batches import Arrays, save_arrays
from components.core.platform.progress import track
from components.core.realism.clip import ClipFeatures
from components.core.rendering.workers import Failed, Workers


def must_not_fail(job: Any, failure: Failed) -> Decoded:
    """Ends the stage: what this project makes itself is made whole."""
    raise RuntimeError(f"batch {job} could not be made: {failure.reason}")


def set_aside(job: Any, failure: Failed) -> Decoded:
    """Rejects all images of a chunk: which of them takes the process down is not known."""
    assert isinstance(job, Chunk)
    reason = f"its chunk could not be read ({failure.reason})"
    names = list(job.names) or [job.archive]
    rejected = [(name, reason) for name in names]
    return Decoded(np.zeros((0, 1, 1, 3), np.uint8), [], rejected, job.archive)


@dataclass(frozen=True)
class Batches:
    """jobs: what each batch is made from; prepare returns, in the process, what makes it; failed
    says what becomes of a batch whose process died; keep: the images lie nowhere else."""

    jobs: Sequence[Any]
    prepare: Callable[[], Callable[[Any], Decoded]]
    failed: Callable[[Any, Failed], Decoded] = must_not_fail
    keep: bool = True
    first: int = 0

    def between(self, start: int, stop: int) -> Batches:
        """Batches `start` to `stop`, which keep their numbers."""
        return replace(self, jobs=self.jobs[start:stop], first=self.first + start)


def embed(batches: Batches, clip: ClipFeatures, work: Path, *, processes: int = 0) -> list[Path]:
    """Embed the batches into one file each; those that `work` holds are not made again."""
    work.mkdir(parents=True, exist_ok=True)
    numbers = range(batches.first, batches.first + len(batches.jobs))
    files = [work / f"images-{number:06d}.npz" for number in numbers]
    missing = [place for place, file in enumerate(files) if not file.exists()]
    count = min(processes or os.cpu_count() or 1, len(missing))
    with Workers(batches.prepare, count) as workers:
        answers = workers.run([batches.jobs[place] for place in missing])
        for number, answer in track(answers, "embedding photographs", len(missing)):
            job = batches.jobs[missing[number]]
            made = batches.failed(job, answer) if isinstance(answer, Failed) else answer
            save_arrays(files[missing[number]], _arrays(made, clip, keep=batches.keep))
    return files


def _arrays(made: Decoded, clip: ClipFeatures, *, keep: bool) -> Arrays:
    features = clip.images(made.images) if made.names else np.zeros((0, clip.dimension))
    arrays: Arrays = {
        "features": features.astype(np.float16),
        "names": np.array(made.names, dtype=np.str_),
        "archive": np.array(made.archive),
        "rejected": np.array(json.dumps(made.rejected)),
    }
    return {**arrays, "images": made.images} if keep else arrays
