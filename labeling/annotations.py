"""Tasks, judgements and the interface through which judgements come.

A task is one image of one set. A source takes tasks (push) and gives the judgements that are there
(pull); pushing the same task again does nothing. Whoever judged is named in every judgement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

Label = Literal["realistic", "unrealistic", "can't tell"]
LABELS: tuple[Label, ...] = get_args(Label)
SetName = Literal["photographs", "generated"]
SETS: tuple[SetName, ...] = get_args(SetName)


@dataclass(frozen=True)
class Task:
    """Image (h, w, 3) uint8 number `item` of a set, and what it is meant to show."""

    set: SetName
    item: int
    image: NDArray[np.uint8]
    category: str

    @property
    def key(self) -> str:
        """What identifies the task in a source, the same in every run over the same data."""
        return f"{self.set}/{self.item}"


@dataclass(frozen=True)
class Annotation:
    """One person's (or the simulated annotator's) judgement of one task."""

    set: str
    item: int
    label: Label
    annotator: str
    created_at: str

    def row(self) -> dict[str, str | int]:
        """The line of `annotations.jsonl`."""
        return asdict(self)


class AnnotationSource(Protocol):
    """Where judgements come from."""

    def push(self, tasks: Sequence[Task]) -> int:
        """Offer tasks for judgement; returns how many were not offered before."""
        ...

    def pull(self, tasks: Sequence[Task]) -> list[Annotation]:
        """The judgements of these tasks that exist by now, in the order of the tasks."""
        ...
