"""Tasks, judgements and the interface through which judgements come.

A task is one image of one set. A source takes tasks (push) and gives the judgements that are there
(pull); pushing the same task again does nothing. Whoever judged is named in every judgement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

Label = Literal["realistic", "unrealistic", "can't tell"]
LABELS: tuple[Label, ...] = get_args(Label)
SetName = Literal["photographs", "generated"]
SETS: tuple[SetName, ...] = get_args(SetName)


@dataclass(frozen=True)
class Task:
    """Image (h, w, 3) uint8 number `item` of a set, and what it is meant to show.

    random: it belongs to the share that is judged in random order, so that the judgements of that
    share are an unbiased sample of the set whatever order the others come in.
    """

    set: SetName
    item: int
    image: NDArray[np.uint8]
    category: str
    random: bool = False

    @cached_property
    def key(self) -> str:
        """What identifies the task in a source: the set and a hash of the pixels.

        The number of the item would not do: another search or another model puts another image
        in its place, which must not inherit the judgement.
        """
        shape = repr(self.image.shape).encode()
        pixels = np.ascontiguousarray(self.image).tobytes()
        return f"{self.set}/{hashlib.blake2b(shape + pixels, digest_size=10).hexdigest()}"


@dataclass(frozen=True)
class Skip:
    """One person's decision not to judge a task."""

    set: str
    item: int
    annotator: str
    judged_at: str

    def row(self) -> dict[str, object]:
        """The line of `skipped.jsonl`."""
        return asdict(self)


@dataclass(frozen=True)
class Annotation:
    """One person's (or the simulated annotator's) judgement of one task.

    judged_at: when it was last changed, ISO 8601; seconds: how long it took, if known.
    """

    set: str
    item: int
    label: Label
    annotator: str
    judged_at: str
    random: bool = False
    seconds: float | None = None

    def row(self) -> dict[str, object]:
        """The line of `annotations.jsonl`."""
        return asdict(self)


@dataclass(frozen=True)
class Judgements:
    """What has been judged and what was skipped, each in the order of the tasks."""

    annotations: list[Annotation] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)


class AnnotationSource(Protocol):
    """Where judgements come from."""

    waits: bool
    """Whether more judgements may come later: people need days, a rule does not."""

    def push(self, tasks: Sequence[Task]) -> int:
        """Offer tasks for judgement; returns how many were not offered before."""
        ...

    def order(self, tasks: Sequence[Task], scores: Sequence[float], version: str) -> None:
        """Have the tasks with the lowest scores judged first. version: names this order."""
        ...

    def pull(self, tasks: Sequence[Task]) -> Judgements:
        """The judgements of these tasks that exist by now, in the order of the tasks."""
        ...
