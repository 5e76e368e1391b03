"""Faults that a real Label Studio server shows too seldom, by a stand-in for its client."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from label_studio_sdk.core.api_error import ApiError

from components.core.errors import UserError
from labeling.address import Address
from labeling.annotations import LABELS, Task
from labeling.images import Inline
from labeling.label_studio import HERE, LabelStudioSource, connect, default_address
from labeling.record import read_words


class Flaky:
    """A server of one project that answers every request only after a number of faults."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.stored: list[SimpleNamespace] = []
        self.short = 0
        self.projects = self.tasks = self
        self.titles: list[str] = []

    def trip(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    def list(self, title: str = "", project: int = 0, **_: Any) -> list[SimpleNamespace]:
        self.trip()
        if project:
            missing, self.short = self.short, 0
            return self.stored[: len(self.stored) - missing]
        return [SimpleNamespace(id=i + 1, title=t) for i, t in enumerate(self.titles)]

    def create(self, title: str, **_: Any) -> SimpleNamespace:
        self.titles.append(title)
        return SimpleNamespace(id=len(self.titles))

    def get(self, id: int) -> SimpleNamespace:
        return SimpleNamespace(task_number=len(self.stored))

    def import_tasks(self, id: int, request: list[dict[str, Any]]) -> None:
        """Half of a request arrives when the line breaks in the middle."""
        broken = bool(self.faults)
        for task in request[: len(request) // 2] if broken else request:
            number = len(self.stored) + 1
            self.stored.append(SimpleNamespace(id=number, meta=task["meta"], annotations=[]))
        self.trip()


def tasks(count: int) -> list[Task]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return [Task("photographs", i, image, "brick") for i, image in enumerate(images)]


def source(server: Flaky, patience: float = 60.0) -> LabelStudioSource:
    address = Address("http://127.0.0.1:1", "realism")
    return LabelStudioSource(
        server, address, Inline(), patience=patience, sleep=lambda seconds: None
    )


def test_an_import_that_breaks_in_the_middle_is_finished_without_duplicates() -> None:
    server = Flaky()
    of = source(server)
    of.push(tasks(2))
    server.faults = [httpx.ReadError("broken")]  # hits the first listing
    of.push(tasks(4))
    calls = {"count": 0}

    def import_once(id: int, request: list[dict[str, Any]]) -> None:
        calls["count"] += 1
        server.faults = [httpx.ReadError("broken")] if calls["count"] == 1 else []
        Flaky.import_tasks(server, id, request)

    server.import_tasks = import_once  # type: ignore[method-assign]
    assert of.push(tasks(10)) == 6
    keys = [task.meta["key"] for task in server.stored]
    assert calls["count"] == 2
    assert len(keys) == len(set(keys)) == 10


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    server = Flaky(ApiError(status_code=status), ApiError(status_code=status))
    assert source(server).push(tasks(3)) == 3


def test_half_an_export_is_asked_for_again_and_never_taken_for_the_whole() -> None:
    server = Flaky()
    of = source(server)
    of.push(tasks(5))
    server.short = 2
    assert len(of.records()) == 5
    server.get = lambda id: SimpleNamespace(task_number=9)  # type: ignore[method-assign, assignment]
    with pytest.raises(UserError, match=r"half an export \(5 of 9 tasks\)"):
        source(server, patience=0.0).records()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (httpx.ConnectError("no route"), "cannot be reached"),
        (ApiError(status_code=401), "refused the key"),
        (ApiError(status_code=404), "deleted"),
        (ApiError(status_code=500), "status 500"),
    ],
)
def test_lasting_faults_are_sentences_without_secrets(error: Exception, sentence: str) -> None:
    if isinstance(error, ApiError):
        error.headers = {"set-cookie": "sessionid=secret"}
    with pytest.raises(UserError, match=sentence) as told:
        source(Flaky(*[error] * 9), patience=0.0).push(tasks(1))
    assert "secret" not in str(told.value)
    assert told.value.__cause__ is None


def test_the_latest_word_of_each_person_counts() -> None:
    def entry(number: int, who: int, label: str, at: str, **more: Any) -> dict[str, Any]:
        result = [{"from_name": "realism", "value": {"choices": [label]}}]
        return {"id": number, "completed_by": who, "result": result, "updated_at": at, **more}

    words = read_words(
        [
            entry(1, 7, "realistic", "2030-01-01T00:00:02Z"),
            entry(2, 7, "unrealistic", "2030-01-01T00:00:01Z"),
            entry(3, 8, "realistic", "2030-01-01T00:00:01Z"),
            entry(4, 8, "realistic", "2030-01-01T00:00:03Z", was_cancelled=True),
            entry(5, 9, "nonsense", "2030-01-01T00:00:03Z"),
        ]
    )
    assert [(word.annotator[-1], word.label) for word in words] == [("7", "realistic"), ("8", None)]


def test_the_choices_of_the_configuration_are_the_known_labels() -> None:
    root = ElementTree.fromstring((HERE / "realism.xml").read_text(encoding="utf-8"))
    control = root.find(".//Choices[@name='realism']")
    assert control is not None
    assert tuple(choice.get("value") for choice in control) == LABELS
    assert len({choice.get("hotkey") for choice in control}) == len(LABELS)


def test_missing_settings_are_named() -> None:
    with pytest.raises(UserError, match="LABEL_STUDIO_URL"):
        default_address("x", {})
    with pytest.raises(UserError, match="LABEL_STUDIO_API_KEY"):
        connect(Address("http://localhost"), environment={})
    with pytest.raises(UserError, match="cannot be read"):
        connect(Address("http://localhost"), environment={"LABEL_STUDIO_API_KEY_FILE": "/none"})
