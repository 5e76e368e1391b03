"""Judgements outlive the project that they were made in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labeling.annotations import Annotation, Judgements, Label, Skip, Task
from labeling.memory import Remembering


class Project:
    """A project that holds what it is given."""

    waits = True

    def __init__(self, number: int) -> None:
        self.number = number
        self.found = Judgements()

    def origin(self) -> str:
        return f"http://server/projects/{self.number}"

    def push(self, tasks: Sequence[Task]) -> int:
        return len(tasks)

    def order(self, tasks: Sequence[Task], scores: Sequence[float], version: str) -> None: ...

    def pull(self, tasks: Sequence[Task]) -> Judgements:
        return self.found


def tasks(count: int = 6) -> list[Task]:
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return [Task("photographs", i, image, "brick") for i, image in enumerate(images)]


def said(item: int, label: Label, at: int, who: str = "ann") -> Annotation:
    return Annotation("photographs", item, label, who, f"2030-01-01T00:00:{at:02}Z", True, 2.5)


def asked(project: Project, folder: Path) -> Judgements:
    return Remembering(project, folder / "work" / "kept.jsonl", project.origin).pull(tasks())


def test_a_deleted_project_and_a_new_one_give_all_that_was_ever_judged(tmp_path: Path) -> None:
    first, second = Project(1), Project(2)
    first.found = Judgements(
        [said(0, "realistic", 1), said(1, "realistic", 2), said(1, "unrealistic", 3, "bea")],
        [Skip("photographs", 2, "ann", "2030-01-01T00:00:04Z")],
    )
    assert asked(first, tmp_path) == first.found
    # The first is gone; in its successor ann judges what she had skipped, and changes her mind.
    assert asked(second, tmp_path) == first.found
    second.found = Judgements([said(1, "can't tell", 9), said(2, "realistic", 8)])
    merged = asked(second, tmp_path)
    assert merged.annotations == [
        said(0, "realistic", 1), said(1, "can't tell", 9), said(1, "unrealistic", 3, "bea"),
        said(2, "realistic", 8),
    ]  # fmt: skip
    assert merged.skipped == []
    assert asked(second, tmp_path) == merged


def test_what_is_deleted_in_the_project_that_is_there_is_gone(tmp_path: Path) -> None:
    project = Project(1)
    project.found = Judgements([said(0, "realistic", 1), said(1, "realistic", 2)])
    asked(project, tmp_path)
    project.found = Judgements([said(1, "realistic", 2)])
    assert asked(project, tmp_path) == project.found


def test_an_image_keeps_its_judgement_under_another_number(tmp_path: Path) -> None:
    project, offered = Project(1), tasks()
    project.found = Judgements([said(3, "realistic", 1)])
    asked(project, tmp_path)
    moved = [Task("photographs", 40, offered[3].image, "brick")]
    after = Project(2)
    source = Remembering(after, tmp_path / "work" / "kept.jsonl", after.origin)
    assert [(a.item, a.label) for a in source.pull(moved).annotations] == [(40, "realistic")]
