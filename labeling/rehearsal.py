"""The simulated annotator at a real server: to try the whole stack while nobody labels.

It reads tasks and images as a browser would and submits judgements through the server's API, under
the account of whoever's key it is given. Meant for a project of its own: its judgements are no
people's, and nothing in the server tells them apart.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labeling.annotations import SETS, Task
from labeling.simulated import SimulatedAnnotator


class Rehearsal:
    """client: a `LabelStudio` with the annotator's key; http: the same server and key."""

    def __init__(self, client: Any, http: httpx.Client, annotator: SimulatedAnnotator) -> None:
        self.client, self.http, self.annotator = client, http, annotator

    def judge(self, project: int, count: int) -> int:
        """Judge up to `count` tasks, in the order in which the server gives them out."""
        judged = 0
        for entry in self._given_out(project, count):
            task = self._task(entry)
            choice = {"choices": [self.annotator.judge(task)]}
            result = {
                "from_name": "realism", "to_name": "image", "type": "choices", "value": choice,
            }  # fmt: skip
            self.client.annotations.create(id=entry["id"], result=[result], lead_time=1.0)
            judged += 1
        return judged

    def _given_out(self, project: int, count: int) -> Iterator[dict[str, Any]]:
        for _ in range(count):
            answer = self.http.get(f"/api/projects/{project}/next")
            if answer.status_code == httpx.codes.NOT_FOUND:
                return  # nothing is left for this account
            answer.raise_for_status()
            yield answer.json()

    def _task(self, entry: dict[str, Any]) -> Task:
        meta, data = entry.get("meta") or {}, entry["data"]
        of_set = next(name for name in SETS if name == meta["set"])
        return Task(of_set, 0, self._image(data["image"]), data["category"])

    def _image(self, address: str) -> NDArray[np.uint8]:
        if address.startswith("data:"):
            content = base64.b64decode(address.partition(",")[2])
        else:
            answer = self.http.get(address, follow_redirects=True)
            answer.raise_for_status()
            content = answer.content
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
