"""Waiting for people: looks at the source again and again until enough has been judged."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from components.annotation_sync.config import Config
from components.core.errors import UserError
from components.core.platform.tracking import Tracker
from labeling.annotations import SETS, Annotation, AnnotationSource, Judgements, Skip, Task

CLASSES = ("realistic", "unrealistic")
Reorder = Callable[[Sequence[Annotation]], None]
HOUR = 3600.0


@dataclass(frozen=True)
class Clock:
    """Time, which tests make pass faster."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Progress:
    """How far one set is. judged: images; classes: images that somebody called so; skipped: images
    that all who took part would not judge."""

    name: str
    judged: int
    needed: int
    skipped: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    of_each: int = 0

    @property
    def enough(self) -> bool:
        """Whether the run may go on with this set."""
        return not self.lacks

    @property
    def lacks(self) -> str:
        """What is missing, in words; empty if nothing is."""
        if self.judged < self.needed:
            return f"{self.needed} must be judged"
        few = [name for name in CLASSES if self.classes[name] < self.of_each]
        return f"{self.of_each} must be {' and '.join(few)}" if few else ""

    def __str__(self) -> str:
        classes = ", ".join(f"{self.classes[name]} {name}" for name in CLASSES)
        skipped = f", {self.skipped} skipped by all" if self.skipped else ""
        return f"{self.name} {self.judged}/{self.needed} judged ({classes}{skipped})"


def wait_for_judgements(
    config: Config,
    tasks: Sequence[Task],
    source: AnnotationSource,
    reorder: Reorder,
    tracker: Tracker,
    clock: Clock,
) -> Judgements:
    """The judgements, once there are enough; UserError when time is up or none will come.

    `reorder` is called at once and after every `reorder_every` new judgements. Stopping in the
    middle loses nothing: all state is the source's.
    """
    started, seen, ordered = clock.now(), -1, -config.reorder_every
    while True:
        found = source.pull(tasks)
        counted = [a for a in found.annotations if a.annotator not in config.excluded_annotators]
        skips = [s for s in found.skipped if s.annotator not in config.excluded_annotators]
        state = [progress(config, name, tasks, counted, skips) for name in SETS]
        if len(counted) != seen:
            seen = len(counted)
            print(f"annotation_sync: {'; '.join(map(str, state))}", flush=True)
            tracker.log_metrics({f"{part.name}_judged": part.judged for part in state}, seen)
        if all(part.enough for part in state):
            return Judgements(counted, found.skipped)
        if not source.waits or clock.now() - started >= config.wait_hours * HOUR:
            raise _not_enough(next(part for part in state if not part.enough), tasks)
        if seen - ordered >= config.reorder_every:
            ordered = seen
            reorder(counted)
        clock.sleep(config.poll_seconds)


def progress(
    config: Config,
    name: str,
    tasks: Sequence[Task],
    annotations: Sequence[Annotation],
    skips: Sequence[Skip] = (),
) -> Progress:
    """How far one set is; never more is needed than a small set can give.

    The server gives an image out again to everybody but those who skipped it: one that all skipped
    will not be judged, and is not waited for.
    """
    own = [a for a in annotations if a.set == name]
    judged = {a.item for a in own}
    skippers: dict[int, set[str]] = defaultdict(set)
    for skip in skips:
        if skip.set == name and skip.item not in judged:
            skippers[skip.item].add(skip.annotator)
    people = {a.annotator for a in annotations} | {skip.annotator for skip in skips}
    skipped = sum(who == people for who in skippers.values())
    left = sum(task.set == name for task in tasks) - skipped
    classes: Counter[str] = Counter(label for _, label in {(a.item, a.label) for a in own})
    needed = min(config.minimum_annotations, left)
    of_each = min(config.minimum_per_class, left // 4)
    return Progress(name, len(judged), needed, skipped, classes, of_each)


def _not_enough(part: Progress, tasks: Sequence[Task]) -> UserError:
    offered = sum(task.set == part.name for task in tasks)
    return UserError(
        f"Only {part.judged} of {offered} images of the set '{part.name}' have been judged "
        f"({', '.join(f'{part.classes[name]} {name}' for name in CLASSES)}), but {part.lacks}: "
        "judge more and start again, or lower annotation_sync.minimum_annotations or "
        "minimum_per_class."
    )
