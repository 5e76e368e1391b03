"""People who judge: accounts of a real server, made as people make them."""

from __future__ import annotations

import httpx

from labeling.annotations import Label, Task
from labeling.server import Server

PASSWORD = "a password of many letters"


class Person:
    """Somebody with an account of their own, who was invited to the server."""

    def __init__(self, server: Server, email: str) -> None:
        base = f"http://127.0.0.1:{server.port}"
        owner = {"Authorization": f"Token {server.credentials.token}"}
        invite = httpx.get(f"{base}/api/invite", headers=owner).json()["invite_url"]
        with httpx.Client(base_url=base, follow_redirects=True, timeout=60) as http:
            http.get(invite)
            form = {"email": email, "password": PASSWORD, "allow_newsletters": ""}
            form["csrfmiddlewaretoken"] = http.cookies["csrftoken"]
            http.post(invite, data=form, headers={"Referer": base}).raise_for_status()
            self.token: str = http.get("/api/current-user/token").json()["token"]
        self.email = email
        self.http = httpx.Client(
            base_url=base, headers={"Authorization": f"Token {self.token}"}, timeout=60
        )

    def judge(self, task: int, label: Label | None) -> int:
        """Submits a label, or skips for None; returns the annotation's number."""
        answer = self.http.post(f"/api/tasks/{task}/annotations/", json=body(label))
        answer.raise_for_status()
        return int(answer.json()["id"])

    def correct(self, annotation: int, label: Label) -> None:
        """Changes an earlier answer."""
        self.http.patch(f"/api/annotations/{annotation}/", json=body(label)).raise_for_status()

    def next(self, project: int) -> int | None:
        """The number of the task that the server gives out, None when nothing is left."""
        answer = self.http.get(f"/api/projects/{project}/next")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return int(answer.raise_for_status().json()["id"])


def body(label: Label | None) -> dict[str, object]:
    if label is None:
        return {"result": [], "was_cancelled": True}
    choice = {"choices": [label]}
    result = {"from_name": "realism", "to_name": "image", "type": "choices", "value": choice}
    return {"result": [result], "lead_time": 2.5}


def key_of(tasks: list[Task], item: int) -> str:
    return next(task.key for task in tasks if task.item == item)
