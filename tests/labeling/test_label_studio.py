"""Label Studio, by a stand-in for its client that keeps tasks in memory."""

from __future__ import annotations

import base64
import io
import json
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from label_studio_sdk.core.api_error import ApiError
from PIL import Image

from components.core.errors import UserError
from labeling.annotations import Task
from labeling.label_studio import CONFIGURATION, LabelStudioSource, connect


class FakeServer:
    """`client.projects` with one dictionary of tasks a project."""

    def __init__(self) -> None:
        self.stored: dict[int, list[dict[str, Any]]] = {}
        self.titles: dict[int, str] = {}
        self.projects = self
        self.exports = self

    def list(self, title: str) -> list[SimpleNamespace]:
        # The server's filter matches parts of titles.
        return [SimpleNamespace(id=i, title=t) for i, t in self.titles.items() if title in t]

    def create(self, title: str, label_config: str) -> SimpleNamespace:
        number = len(self.titles) + 1
        self.titles[number], self.stored[number], self.config = title, [], label_config
        return SimpleNamespace(id=number)

    def import_tasks(self, id: int, request: list[dict[str, Any]]) -> None:
        self.stored[id] += [{**task, "annotations": []} for task in request]

    def download_sync(self, id: int, export_type: str, download_all_tasks: bool) -> list[bytes]:
        return [json.dumps(self.stored[id]).encode()]

    def annotate(self, key: str, label: str, **more: Any) -> None:
        result = [{"from_name": "realism", "value": {"choices": [label]}}]
        for tasks in self.stored.values():
            for task in tasks:
                if task["data"]["key"] == key:
                    task["annotations"].append({"result": result, "completed_by": 7, **more})


def tasks(count: int = 3) -> list[Task]:
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    return [Task("photographs", i, image, "brick") for i in range(count)]


def test_tasks_are_imported_once_into_a_project_of_our_configuration() -> None:
    server = FakeServer()
    server.create("realism of last year", "")
    source = LabelStudioSource(server, "realism")
    assert source.push(tasks(2)) == 2
    assert source.push(tasks(3)) == 1
    assert [task["data"]["key"] for task in server.stored[2]] == [
        "photographs/0", "photographs/1", "photographs/2",
    ]  # fmt: skip
    assert server.stored[1] == []
    assert server.config == CONFIGURATION.read_text()


def test_the_image_travels_unchanged_inside_its_task() -> None:
    server = FakeServer()
    LabelStudioSource(server, "realism").push(tasks(1))
    data = server.stored[1][0]["data"]["image"].removeprefix("data:image/png;base64,")
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    np.testing.assert_array_equal(image, tasks(1)[0].image)


def test_judgements_come_back_with_their_author_and_skipped_ones_do_not() -> None:
    server = FakeServer()
    source = LabelStudioSource(server, "realism")
    assert source.pull(tasks()) == []
    source.push(tasks())
    server.annotate("photographs/2", "unrealistic", created_at="2030-01-01T00:00:00Z")
    server.annotate("photographs/0", "realistic", was_cancelled=True)
    server.annotate("photographs/1", "nonsense")
    (only,) = source.pull(tasks())
    assert (only.set, only.item, only.label) == ("photographs", 2, "unrealistic")
    assert only.annotator == "label studio user 7"
    assert only.created_at == "2030-01-01T00:00:00Z"


def test_every_choice_of_the_configuration_is_a_known_label() -> None:
    import xml.etree.ElementTree as ElementTree

    from labeling.annotations import LABELS

    root = ElementTree.fromstring(CONFIGURATION.read_text())
    (control,) = root.iter("Choices")
    assert control.get("name") == "realism"
    assert [choice.get("value") for choice in control] == list(LABELS)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(httpx.ConnectError("no route"), "cannot be reached"), (ApiError(status_code=401), "401")],
)
def test_server_problems_are_sentences(error: Exception, sentence: str) -> None:
    def refuse(title: str) -> None:
        raise error

    server = FakeServer()
    server.list = refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(UserError, match=sentence):
        LabelStudioSource(server, "realism").push(tasks())


def test_a_missing_configuration_names_the_variables() -> None:
    with pytest.raises(UserError, match="LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"):
        connect("realism", environment={})
