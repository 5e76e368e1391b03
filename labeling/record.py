"""What a Label Studio server holds of one task: who said what, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeling.annotations import LABELS, Label

INCLUDED = (
    "id", "meta", "annotations", "result", "completed_by", "was_cancelled", "updated_at",
    "lead_time",
)  # fmt: skip
"""Fields of a listing of tasks; the images, which are most of it, are left out."""


@dataclass(frozen=True)
class Word:
    """One person's latest word on a task; label is None where the task was skipped."""

    annotator: str
    label: Label | None
    at: str
    seconds: float | None


@dataclass(frozen=True)
class Record:
    """A task of the server."""

    id: int
    key: str
    set: str
    random: bool
    words: tuple[Word, ...]


def read_record(task: Any) -> Record:
    """The record of a task as the SDK lists it; tasks that others imported have an empty key."""
    meta: Mapping[str, Any] = task.meta or {}
    return Record(
        id=int(task.id),
        key=str(meta.get("key", "")),
        set=str(meta.get("set", "")),
        random=bool(meta.get("random", False)),
        words=read_words(task.annotations or []),
    )


def read_words(annotations: Iterable[Mapping[str, Any]]) -> tuple[Word, ...]:
    """Each person's latest word: a judgement that was changed or given anew counts as it is now.

    Annotations that hold neither a known label nor a skip (somebody's other experiments) are left
    out. Sorted by person.
    """
    latest: dict[str, tuple[tuple[str, int], Word]] = {}
    for entry in annotations:
        label = read_label(entry.get("result") or [])
        if label is None and not entry.get("was_cancelled"):
            continue
        who = entry.get("completed_by")
        who = who.get("id") if isinstance(who, Mapping) else who
        at = str(entry.get("updated_at") or entry.get("created_at") or "")
        word = Word(
            annotator=f"label studio user {who}",
            label=None if entry.get("was_cancelled") else label,
            at=at,
            seconds=entry.get("lead_time"),
        )
        age = (at, int(entry.get("id") or 0))
        if word.annotator not in latest or age > latest[word.annotator][0]:
            latest[word.annotator] = (age, word)
    return tuple(latest[name][1] for name in sorted(latest))


def read_label(results: Sequence[Mapping[str, Any]]) -> Label | None:
    """The chosen label of the `realism` control, None if there is none that we know."""
    for result in results:
        if result.get("from_name") == "realism":
            chosen = result.get("value", {}).get("choices", [])
            return next((label for label in LABELS if chosen == [label]), None)
    return None
