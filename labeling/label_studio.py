"""Judgements of people in Label Studio.

The address and the key come from the environment (`LABEL_STUDIO_URL`, and `LABEL_STUDIO_API_KEY`
or a file named by `LABEL_STUDIO_API_KEY_FILE`), never from a recipe. Images travel inside their
tasks, so that Label Studio needs no access to the pipeline's storage.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError
from PIL import Image

from components.core.errors import UserError
from labeling.annotations import LABELS, Annotation, Task

CONFIGURATION = Path(__file__).with_name("realism.xml")
BATCH = 200
"""Tasks in one request: some megabytes of images."""


class LabelStudioSource:
    """An annotation source that is one project of a Label Studio server."""

    def __init__(self, client: Any, title: str) -> None:
        self.client = client
        self.title = title

    def push(self, tasks: Sequence[Task]) -> int:
        """Import the tasks that the project does not have yet; create the project if needed."""
        with _server_errors():
            project = self._project(create=True)
            known = {entry["data"].get("key") for entry in self._export(project)}
            new = [task for task in tasks if task.key not in known]
            for i in range(0, len(new), BATCH):
                request = [{"data": task_data(task)} for task in new[i : i + BATCH]]
                self.client.projects.import_tasks(id=project, request=request)
        return len(new)

    def pull(self, tasks: Sequence[Task]) -> list[Annotation]:
        """All judgements that people have submitted for these tasks."""
        with _server_errors():
            project = self._project(create=False)
            exported = {e["data"].get("key"): e for e in self._export(project)} if project else {}
        return [
            annotation
            for task in tasks
            if task.key in exported
            for annotation in read_annotations(task, exported[task.key])
        ]

    def _project(self, create: bool) -> int:
        """The project's id; 0 if it is missing and not to be created."""
        for project in self.client.projects.list(title=self.title):
            if project.title == self.title:
                return int(project.id)
        if not create:
            return 0
        configuration = CONFIGURATION.read_text(encoding="utf-8")
        return int(self.client.projects.create(title=self.title, label_config=configuration).id)

    def _export(self, project: int) -> list[dict[str, Any]]:
        """All tasks of the project with their annotations."""
        chunks = self.client.projects.exports.download_sync(
            id=project, export_type="JSON", download_all_tasks=True
        )
        return list(json.loads(b"".join(chunks)))


def connect(title: str, environment: Mapping[str, str] = os.environ) -> LabelStudioSource:
    """The source that the environment describes."""
    url = environment.get("LABEL_STUDIO_URL", "")
    key = environment.get("LABEL_STUDIO_API_KEY", "")
    file = environment.get("LABEL_STUDIO_API_KEY_FILE", "")
    if not key and file:
        try:
            key = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UserError(
                f"LABEL_STUDIO_API_KEY_FILE {file} cannot be read ({error.strerror}): give a file "
                "that holds the API key."
            ) from error
    if not url or not key:
        raise UserError(
            "Label Studio is not configured: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, or "
            "choose annotation_sync.source = 'simulated'."
        )
    return LabelStudioSource(LabelStudio(base_url=url, api_key=key), title)


def task_data(task: Task) -> dict[str, str | int]:
    """What Label Studio shows and gives back: the image as a data URI, and the task's key."""
    buffer = io.BytesIO()
    Image.fromarray(task.image).save(buffer, "PNG")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return {
        "key": task.key,
        "set": task.set,
        "item": task.item,
        "category": task.category,
        "image": f"data:image/png;base64,{encoded}",
    }


def read_annotations(task: Task, exported: Mapping[str, Any]) -> list[Annotation]:
    """The judgements in one exported task; cancelled (skipped) ones do not count."""
    found = []
    for entry in exported.get("annotations", []):
        label = _choice(entry.get("result", []))
        if label is None or entry.get("was_cancelled"):
            continue
        who = entry.get("completed_by")
        who = who.get("id") if isinstance(who, Mapping) else who
        created = str(entry.get("created_at", ""))
        found.append(Annotation(task.set, task.item, label, f"label studio user {who}", created))
    return found


def _choice(results: Sequence[Mapping[str, Any]]) -> Any:
    """The chosen label of the `realism` control, None if there is none that we know."""
    for result in results:
        if result.get("from_name") == "realism":
            chosen = result.get("value", {}).get("choices", [])
            return chosen[0] if chosen and chosen[0] in LABELS else None
    return None


class _server_errors:  # noqa: N801, a context manager that reads as a word
    """Turns an unreachable server and refused requests into a sentence for the user."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ApiError):
            raise UserError(
                f"Label Studio refused the request (status {error.status_code}): check "
                "LABEL_STUDIO_API_KEY and the project's permissions."
            ) from error
        if isinstance(error, httpx.HTTPError | OSError):
            raise UserError(
                f"Label Studio cannot be reached ({error}): check LABEL_STUDIO_URL and that the "
                "server runs."
            ) from error
