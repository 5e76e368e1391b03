"""Runs that people judge for, against a real Label Studio server: from the artifacts to labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.annotation_sync.config import Config
from components.annotation_sync.stage import FOLDERS, run
from components.core.errors import UserError
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.tracking import NullTracker
from labeling.agreement import Said, agreement
from labeling.annotations import SETS, Label, Task
from labeling.label_studio import connect
from labeling.server import Server
from pipelines.cli import main
from tests.labeling.people import Person

pytestmark = pytest.mark.long

OF_EACH = 8
STAGES = dict(zip(SETS, ("photo_retrieval", "material_sampling"), strict=True))
SETTINGS = {"items_per_set": OF_EACH, "minimum_per_class": 0, "overlap": 0.25, "wait_hours": 0}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The folder of a run whose images are there."""
    rng = np.random.default_rng(0)
    for name in SETS:
        kind, images = FOLDERS[name]
        place = tmp_path / "store" / STAGES[name] / "key"
        with new_artifact(place, kind, "test", Config()) as folder:
            np.save(folder / images, rng.integers(0, 256, (OF_EACH, 32, 32, 3), dtype=np.uint8))
            rows = [{"category": ("brick", "moss")[i % 2], "material": i} for i in range(OF_EACH)]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / "index.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def stage(output: Path, address: str) -> list[dict[str, Any]]:
    """The rows that the stage `annotation_sync` writes of what has been judged by now."""
    config = Config(minimum_annotations=OF_EACH, **SETTINGS)  # type: ignore[arg-type]
    given = {name: output / "store" / STAGES[name] / "key" for name in SETS}
    run(
        config, **given, labels=address, output=output / "out", work=output / "work",
        tracker=NullTracker(),
    )  # fmt: skip
    file = open_artifact(output / "out", "annotations") / "annotations.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_run_goes_on_where_it_stopped_even_when_its_project_was_deleted(
    server: Server, output: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", server.credentials.token)
    address = str(server.address("stopped and continued"))
    settings = [f"--set=annotation_sync.{name}={value}" for name, value in SETTINGS.items()]
    push = ["label", "push", "smoke", "--output", str(output), "--labels", address, *settings]
    for new in (2 * OF_EACH, 0):
        assert main(push) == 0
        assert f"{2 * OF_EACH} images are in the project, {new} of them" in capsys.readouterr().out
    of = connect(server.address("stopped and continued"))
    project = of.client.projects.get(id=of.project())
    assert project.maximum_annotations == 2
    assert project.overlap_cohort_percentage == 25
    assert project.model_version == "after 0 judgements"  # ordered, before anybody has judged
    with pytest.raises(UserError, match="Only 0 of 8"):
        stage(output, address)
    assert main(["label", "rehearse", "--labels", address, "-n", "9"]) == 0
    with pytest.raises(UserError, match=r"Only [1-7] of 8 images"):
        stage(output, address)
    kept = (output / "work" / "judgements.jsonl").read_text(encoding="utf-8").splitlines()
    first = {json.loads(line)["key"]: json.loads(line)["label"] for line in kept}
    assert len(first) == 9
    of.client.projects.delete(id=of.project())
    with pytest.raises(UserError, match=r"Only [1-7] of 8 images"):
        stage(output, address)  # makes the project anew
    assert len(of.records()) == 2 * OF_EACH
    assert main(["label", "rehearse", "--labels", address, "-n", "99"]) == 0
    rows = stage(output, address)
    assert {(row["set"], row["item"]) for row in rows} == {
        (name, item) for name in SETS for item in range(OF_EACH)
    }


def test_two_people_share_a_fifth_of_the_images_and_their_agreement_is_told(server: Server) -> None:
    images = np.random.default_rng(1).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    offered = [Task(SETS[0], i, image, "brick") for i, image in enumerate(images)]
    environment = {"LABEL_STUDIO_API_KEY": server.credentials.token}
    of = connect(server.address("a fifth twice"), overlap=0.2, environment=environment)
    of.push(offered)
    project, item = of.project(), {task.key: task.item for task in offered}
    numbers = {record.id: item[record.key] for record in of.records()}
    people = [Person(server, f"{name}@fifth.example.org") for name in ("ann", "bea")]
    said: list[dict[int, Label]] = [{}, {}]
    for words, person in zip(said, people, strict=True):
        while (number := person.next(project)) is not None:
            # Bea differs in every other one that she is given.
            other = person is people[1] and len(words) % 2 == 0
            words[numbers[number]] = (
                "realistic" if (numbers[number] % 2 == 0) != other else "unrealistic"
            )
            person.judge(number, words[numbers[number]])
    assert len(said[0]) == 20
    assert len(said[1]) == 4
    found = agreement(
        (Said(a.item, a.annotator, a.label) for a in of.pull(offered).annotations), threshold=0.6
    )
    assert found.shared == 4
    pairs = [(said[0][i], label) for i, label in said[1].items()]
    share = np.mean([label == "realistic" for pair in pairs for label in pair])
    observed = np.mean([a != b for a, b in pairs])
    expected = 2 * share * (1 - share) * 8 / 7  # of eight values, drawn without replacement
    assert found.alpha == pytest.approx(1 - observed / expected)
    assert [person.judged for person in found.annotators] == [20, 4]
