"""Long work in batches, each of which is done once however often the stage is killed.

Every finished batch is a file in the stage's work folder; a restarted stage reads the ones that
are there. The order and the contents of the result do not depend on interruptions, provided that a
batch depends on its own number alone.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.platform.progress import track

Arrays = dict[str, npt.NDArray[Any]]


def batches(
    work: Path, name: str, count: int, compute: Callable[[int], Arrays]
) -> Iterator[tuple[int, Arrays]]:
    """Yield (index, arrays) of batches 0..count-1, computing those that `work` does not hold yet.

    Arrays are kept as .npz without pickles; `name` labels the files and the progress line.
    """
    work.mkdir(parents=True, exist_ok=True)
    for index in track(range(count), name):
        path = work / f"{name}-{index:05d}.npz"
        if not path.exists():
            save_arrays(path, compute(index))
        yield index, load_arrays(path)


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write `arrays` as a whole file or not at all."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def load_arrays(path: Path) -> Arrays:
    """What `save_arrays` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)
