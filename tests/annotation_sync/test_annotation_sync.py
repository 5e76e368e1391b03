"""Judgements are asked for, waited for, counted, and written with their author."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.annotation_sync.config import Config
from components.annotation_sync.doubt import Doubt
from components.annotation_sync.stage import run, write
from components.annotation_sync.waiting import Clock
from components.core.errors import UserError
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.tracking import NullTracker
from labeling.annotations import SETS, Annotation, Judgements, Skip, Task


def make_inputs(folder: Path, count: int = 12) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    kinds = {
        "photographs": ("photographs", "images.npy"),
        "generated": ("generated-materials", "renderings.npy"),
    }
    for name, (kind, images) in kinds.items():
        with new_artifact(folder / name, kind, "test", Config()) as inside:
            np.save(inside / images, rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))
            row = json.dumps({"category": "brick", "source": "x", "material": 0}) + "\n"
            (inside / "index.jsonl").write_text(row * count)
    return {name: folder / name for name in kinds}


def sync(config: Config, folder: Path) -> list[dict[str, Any]]:
    inputs, work = make_inputs(folder), folder / "work"
    run(config, **inputs, labels="", output=folder / "out", work=work, tracker=NullTracker())
    return read(folder, "annotations")


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    path = open_artifact(folder / "out", "annotations") / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_simulated_annotator_judges_a_sample_of_both_sets(tmp_path: Path) -> None:
    config = Config(source="simulated", items_per_set=8, minimum_annotations=4, minimum_per_class=0)
    rows = sync(config, tmp_path / "a")
    for name in ("photographs", "generated"):
        items = [row["item"] for row in rows if row["set"] == name]
        assert len(set(items)) == len(items) == 8
    assert {row["annotator"] for row in rows} == {"simulated annotator"}
    assert sum(row["random"] for row in rows) == 2 * 2  # a fifth of 8 of each set, rounded up
    assert rows == sync(config, tmp_path / "b")


def test_label_studio_without_settings_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="LABEL_STUDIO_URL"):
        sync(Config(source="label_studio"), tmp_path)
    assert not (tmp_path / "out").exists()


class People:
    """Judge `pace` images between two looks: the even ones realistic, unless `all_realistic`."""

    waits = True

    def __init__(self, pace: int, all_realistic: bool = False) -> None:
        self.pace, self.all_realistic = pace, all_realistic
        self.judged: list[tuple[str, int]] = []
        self.versions: list[str] = []
        self.queue: list[Task] = []

    def push(self, tasks: Sequence[Task]) -> int:
        self.queue = list(tasks)
        return len(tasks)

    def order(self, tasks: Sequence[Task], scores: Sequence[float], version: str) -> None:
        self.versions.append(version)
        by_key = dict(zip([task.key for task in tasks], scores, strict=True))
        self.queue.sort(key=lambda task: by_key[task.key])

    def pull(self, tasks: Sequence[Task]) -> Judgements:
        found = [Annotation(s, i, self.label(i), "ann", "t") for s, i in self.judged]
        return Judgements(found, [Skip("photographs", 3, "bea", "t")])

    def label(self, item: int) -> Any:
        return "realistic" if self.all_realistic or item % 2 == 0 else "unrealistic"

    def work(self, seconds: float) -> None:
        now, self.queue = self.queue[: self.pace], self.queue[self.pace :]
        self.judged += [(task.set, task.item) for task in now]


def tasks(count: int = 40) -> list[Task]:
    rng = np.random.default_rng(0)
    # The upper left pixel tells realistic (even) from not, for the doubt to learn.
    images = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    images[::2, :4] //= 4
    return [
        Task(name, i, image, "brick", i % 5 == 0) for name in SETS for i, image in enumerate(images)
    ]


def wait(config: Config, people: People, folder: Path, hours: float = 0.0) -> None:
    doubt = Doubt(config, tasks(), lambda x: x.mean((2, 3)).astype(np.float32) / 255)
    times = iter(range(10_000))
    clock = Clock(now=lambda: next(times) * 3600.0 * hours, sleep=people.work)
    out = folder / "out"
    write(config, tasks(), people, doubt, clock, output=out, tracker=NullTracker())


def test_it_waits_until_both_sets_have_enough_of_both_classes(tmp_path: Path) -> None:
    config = Config(minimum_annotations=20, minimum_per_class=8, reorder_every=16)
    people = People(pace=8)
    wait(config, people, tmp_path)
    rows = read(tmp_path, "annotations")
    for name in SETS:
        own = [row for row in rows if row["set"] == name]
        assert len(own) >= 20
        assert min(sum(r["label"] == c for r in own) for c in ("realistic", "unrealistic")) >= 8
    assert read(tmp_path, "skipped") == [
        {"set": "photographs", "item": 3, "annotator": "bea", "judged_at": "t"}
    ]
    assert people.versions[0] == "after 0 judgements"
    assert people.versions[1:] == [f"after {n} judgements" for n in range(16, len(rows), 16)]


def test_images_that_everybody_skips_do_not_hold_the_run_up(tmp_path: Path) -> None:
    """All forty must be judged; ann skips two of them, and bea, who saw one of these, that one."""
    config = Config(minimum_annotations=40, minimum_per_class=8, wait_hours=5)

    class Choosy(People):
        bea_skips: tuple[int, ...] = (7,)

        def pull(self, tasks: Sequence[Task]) -> Judgements:
            name = SETS[0]
            rows = [a for a in super().pull(tasks).annotations if (a.set, a.item) != (name, 7)]
            own = [a for a in rows if (a.set, a.item) != (name, 9)]
            skips = [Skip(name, item, "ann", "t") for item in (7, 9)]
            skips += [Skip(name, item, "bea", "t") for item in self.bea_skips]
            return Judgements(own, skips)

    people = Choosy(pace=100)
    with pytest.raises(UserError, match=r"Only 38 of 40.*39 must be judged"):
        wait(config, people, tmp_path, hours=1.0)  # bea may still judge the other one
    people = Choosy(pace=100)
    people.bea_skips = (7, 9)
    wait(config, people, tmp_path)
    rows = read(tmp_path, "annotations")
    assert sum(row["set"] == SETS[0] for row in rows) == 38
    assert len(read(tmp_path, "skipped")) == 4


def test_time_that_is_up_and_a_class_that_is_missing_are_told(tmp_path: Path) -> None:
    config = Config(minimum_annotations=40, minimum_per_class=4, wait_hours=3)
    with pytest.raises(UserError, match=r"Only 1[0-9] of 40 images of the set 'photographs'"):
        wait(config, People(pace=10), tmp_path, hours=1.0)
    with pytest.raises(UserError, match="4 must be unrealistic"):
        wait(config, People(pace=100, all_realistic=True), tmp_path, hours=1.0)
    assert not (tmp_path / "out").exists()


def test_excluded_annotators_do_not_count(tmp_path: Path) -> None:
    config = Config(excluded_annotators=("ann",), wait_hours=2)
    with pytest.raises(UserError, match="Only 0 of 40"):
        wait(config, People(pace=100), tmp_path, hours=1.0)


def test_doubt_is_low_where_judgements_already_tell(tmp_path: Path) -> None:
    """Images far from the border of the two classes come last, those near it first."""
    config, offered = Config(random_share=0.0), [t for t in tasks() if t.set == SETS[0]]
    place = np.linspace(-1, 1, len(offered)).astype(np.float32)
    offered = [Task(t.set, t.item, t.image, t.category) for t in offered]
    noise = 0.1 * np.random.default_rng(0).normal(size=(len(offered), 1)).astype(np.float32)
    doubt = Doubt(config, offered, lambda x: np.concatenate([place[:, None], noise], axis=1))
    judged = [
        Annotation(SETS[0], t.item, "realistic" if place[t.item] > 0 else "unrealistic", "a", "")
        for t in offered[::3]
    ]
    scores = doubt.scores(judged)
    assert np.corrcoef(np.abs(place), scores)[0, 1] > 0.8
    order = np.argsort(scores)
    assert np.abs(place[order[:10]]).mean() < 0.35 < 0.7 < np.abs(place[order[-10:]]).mean()
    shuffled = doubt.scores([])
    assert abs(np.corrcoef(np.abs(place), shuffled)[0, 1]) < 0.4
