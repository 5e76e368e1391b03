"""What people judged, kept where the run keeps its work: a project that is deleted loses nothing.

The project that is there has the last word on its own judgements, so that what somebody deletes in
it is gone. Judgements that came from another project (one that was deleted, or lies on another
server) are added to them; of one person's words on one image the latest counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from components.core.materials.files import write_whole
from labeling.annotations import Annotation, AnnotationSource, Judgements, Label, Skip, Task


@dataclass(frozen=True)
class Kept:
    """One person's word on the image `key`, from the project `origin`; label is None for a skip."""

    origin: str
    key: str
    annotator: str
    label: Label | None
    judged_at: str
    random: bool = False
    seconds: float | None = None


class Remembering:
    """A source whose judgements are written to `file` at every pull.

    origin: names the project that the source asks.
    """

    def __init__(self, source: AnnotationSource, file: Path, origin: Callable[[], str]) -> None:
        self.source, self.file, self.origin = source, file, origin
        self.waits = source.waits

    def push(self, tasks: Sequence[Task]) -> int:
        """As the source does."""
        return self.source.push(tasks)

    def order(self, tasks: Sequence[Task], scores: Sequence[float], version: str) -> None:
        """As the source does."""
        self.source.order(tasks, scores, version)

    def pull(self, tasks: Sequence[Task]) -> Judgements:
        """What the source says of these tasks, and what other projects have said."""
        origin = self.origin()
        said = list(_kept(self.source.pull(tasks), tasks, origin))
        everything = [word for word in self._read() if word.origin != origin] + said
        lines = "".join(json.dumps(asdict(word)) + "\n" for word in everything)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.file, lines.encode())
        latest: dict[tuple[str, str], Kept] = {}
        for word in everything:
            place = (word.key, word.annotator)
            if place not in latest or word.judged_at >= latest[place].judged_at:
                latest[place] = word
        return _judgements(latest.values(), tasks)

    def _read(self) -> list[Kept]:
        if not self.file.exists():
            return []
        lines = self.file.read_text(encoding="utf-8").splitlines()
        return [Kept(**json.loads(line)) for line in lines]


def _kept(found: Judgements, tasks: Sequence[Task], origin: str) -> Iterable[Kept]:
    key: dict[tuple[str, int], str] = {(task.set, task.item): task.key for task in tasks}
    for a in found.annotations:
        yield Kept(
            origin, key[a.set, a.item], a.annotator, a.label, a.judged_at, a.random, a.seconds
        )
    for s in found.skipped:
        yield Kept(origin, key[s.set, s.item], s.annotator, None, s.judged_at)


def _judgements(words: Iterable[Kept], tasks: Sequence[Task]) -> Judgements:
    """In the order of the tasks, and by person."""
    by_key: dict[str, list[Kept]] = {}
    for word in sorted(words, key=lambda word: word.annotator):
        by_key.setdefault(word.key, []).append(word)
    result = Judgements()
    for task in tasks:
        for word in by_key.get(task.key, []):
            if word.label is None:
                skip = Skip(task.set, task.item, word.annotator, word.judged_at)
                result.skipped.append(skip)
            else:
                result.annotations.append(
                    Annotation(
                        task.set, task.item, word.label, word.annotator, word.judged_at,
                        word.random, word.seconds,
                    )
                )  # fmt: skip
    return result
