"""Judgements of people in Label Studio: one project of one server as an annotation source.

The server's address stands in the recipe or in `LABEL_STUDIO_URL`, the key in the environment
(`LABEL_STUDIO_API_KEY`, or a file named by `LABEL_STUDIO_API_KEY_FILE`), never in a recipe.
Every request may be repeated: what is there already is looked up first, so that a connection that
breaks in the middle of an import costs a pause and no duplicate.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError
from tenacity import RetryCallState, Retrying, stop_after_delay, wait_exponential_jitter

from components.core.errors import UserError
from labeling.address import PROJECT, Address
from labeling.annotations import Annotation, Judgements, Skip, Task
from labeling.images import ImageStore, image_store
from labeling.record import INCLUDED, Record, read_record

HERE = Path(__file__).parent
BATCH = 250
"""Tasks in one request: some megabytes, where images travel inside."""
TRIES_OF_500 = 4
PATIENCE = 300.0
"""Seconds for which a server that does not answer is asked again."""

Result = TypeVar("Result")


class Incomplete(Exception):
    """The server gave fewer tasks than it says it has."""


class LabelStudioSource:
    """The project of an address.

    client: a `LabelStudio`; overlap: share of the tasks that two people judge; patience: seconds
    for which a server that does not answer, or answers 5xx or 429, is asked again.
    """

    waits = True

    def __init__(
        self,
        client: Any,
        address: Address,
        images: ImageStore,
        *,
        overlap: float = 0.2,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.client = client
        self.address = address
        self.images = images
        self.overlap = overlap
        self.patience = patience
        self._sleep = sleep

    def push(self, tasks: Sequence[Task]) -> int:
        """Import the tasks that the project does not have yet; create the project if needed."""
        project = self._patiently(self._find_or_create)
        unique = {task.key: task for task in tasks}
        before = {record.key for record in self._records(project)}

        def import_missing() -> None:
            there = {record.key for record in self._listed(project)}
            missing = [task for key, task in unique.items() if key not in there]
            for i in range(0, len(missing), BATCH):
                self._import(project, missing[i : i + BATCH])

        if not before.issuperset(unique):
            self._patiently(import_missing)
        return len(unique.keys() - before)

    def order(self, tasks: Sequence[Task], scores: Sequence[float], version: str) -> None:
        """Store a score in [0, 1] of every task; the server gives out the lowest first.

        They are predictions without a result, so that no annotator sees a machine's opinion. Those
        of an earlier order stay (removing 2,000 takes the server 20 s) and are not looked at.
        """
        project = self.project()
        if not all(0 <= score <= 1 for score in scores):
            raise ValueError("scores must be in [0, 1]: the server takes no others")
        score_of = {task.key: score for task, score in zip(tasks, scores, strict=True)}

        def replace() -> None:
            request = [
                {"task": r.id, "score": score_of[r.key], "result": [], "model_version": version}
                for r in self._listed(project)
                if r.key in score_of
            ]
            self.client.projects.import_predictions(id=project, request=request)
            self.client.projects.update(id=project, model_version=version)

        self._patiently(replace)

    def pull(self, tasks: Sequence[Task]) -> Judgements:
        """What people have submitted for these tasks: each person's latest word on each."""
        found: dict[str, list[Record]] = {}
        for record in self.records():
            found.setdefault(record.key, []).append(record)
        result = Judgements()
        for task in tasks:
            for record in found.get(task.key, []):
                for word in record.words:
                    if word.label is None:
                        skip = Skip(task.set, task.item, word.annotator, word.at)
                        result.skipped.append(skip)
                    else:
                        result.annotations.append(
                            Annotation(
                                task.set, task.item, word.label, word.annotator, word.at,
                                record.random, word.seconds,
                            )
                        )  # fmt: skip
        return result

    def records(self) -> list[Record]:
        """All tasks of the project with what people said, without the images."""
        return self._records(self.project())

    def origin(self) -> str:
        """The project that the judgements come from, by its number: titles may come again."""
        return f"{self.address.server}/projects/{self.project()}"

    def check(self) -> None:
        """UserError unless the server answers and knows the key."""
        self._patiently(self.client.users.whoami)

    def _records(self, project: int) -> list[Record]:
        return self._patiently(lambda: self._listed(project))

    def _listed(self, project: int) -> list[Record]:
        """One listing; a page that came short or twice is noticed by the server's own count."""
        listing = self.client.tasks.list(
            project=project, fields="all", include=",".join(INCLUDED), page_size=500
        )
        tasks = {task.id: task for task in listing}
        said = self.client.projects.get(id=project).task_number or 0
        if len(tasks) < said:
            raise Incomplete(f"{len(tasks)} of {said} tasks")
        return [read_record(tasks[number]) for number in sorted(tasks)]

    def _import(self, project: int, tasks: Sequence[Task]) -> None:
        addresses = self.images.put(tasks)
        # Only now: the server refuses a storage in which nothing lies.
        self.images.attach(self.client, project)
        request = [
            {
                "data": {"image": address, "category": task.category},
                # Not shown to annotators, who must not know which set an image is from.
                "meta": {"key": task.key, "set": task.set, "random": task.random},
            }
            for task, address in zip(tasks, addresses, strict=True)
        ]
        self.client.projects.import_tasks(id=project, request=request)

    def _find(self) -> int:
        """The project's id, 0 if there is none. Of several by this title, the oldest."""
        title = self.address.project
        found = [p.id for p in self.client.projects.list(title=title) if p.title == title]
        return min(found, default=0)

    def _find_or_create(self) -> int:
        return self._find() or self._create()

    def _create(self) -> int:
        created = self.client.projects.create(
            title=self.address.project,
            label_config=(HERE / "realism.xml").read_text(encoding="utf-8"),
            expert_instruction=(HERE / "instructions.html").read_text(encoding="utf-8"),
            show_instruction=True,
            show_skip_button=True,
            sampling="Uncertainty sampling",
            show_collab_predictions=False,
            maximum_annotations=2 if self.overlap else 1,
            overlap_cohort_percentage=round(100 * self.overlap) if self.overlap else 100,
        )
        return int(created.id)

    def project(self) -> int:
        """The project's id; UserError if there is none by its title."""
        project = self._patiently(self._find)
        if not project:
            raise UserError(
                f"{self.address.server} has no project '{self.address.project}': push tasks first "
                "(`realmat label push`), or correct the title; a project that was deleted is gone."
            )
        return project

    def _patiently(self, action: Callable[[], Result]) -> Result:
        """The action's result; asks again after a pause while the fault is one that may pass."""
        retrying = Retrying(
            stop=stop_after_delay(self.patience),
            wait=wait_exponential_jitter(initial=0.5, max=20),
            retry=_may_pass,
            reraise=True,
            sleep=self._sleep,
        )
        try:
            return retrying(action)
        except (ApiError, httpx.HTTPError, Incomplete, OSError) as error:
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> UserError:
        """A sentence for the user; never the answer's headers, which hold a session."""
        server = self.address.server
        if isinstance(error, Incomplete):
            return UserError(f"{server} keeps giving half an export ({error}): try again later.")
        if not isinstance(error, ApiError):
            return UserError(
                f"Label Studio at {server} cannot be reached ({type(error).__name__}): check the "
                "address and that the server runs, then start again; nothing is lost."
            )
        if error.status_code in (401, 403):
            return UserError(
                f"{server} refused the key (status {error.status_code}): check "
                "LABEL_STUDIO_API_KEY and the rights of its user."
            )
        if error.status_code == httpx.codes.NOT_FOUND:
            return UserError(
                f"{server} has no such project any more ('{self.address.project}'): it was deleted "
                "while it was in use; start again to create it anew."
            )
        return UserError(
            f"{server} answered with status {error.status_code}: look into its log, then start "
            "again; nothing is lost."
        )


def _may_pass(state: RetryCallState) -> bool:
    """Whether asking again may help: no or broken answers, an overloaded or restarting server.

    500 is a busy database as often as a request that will never do, so it is tried a few times.
    """
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ApiError) and error.status_code == httpx.codes.INTERNAL_SERVER_ERROR:
        return state.attempt_number < TRIES_OF_500
    if isinstance(error, ApiError):
        return error.status_code in (None, 429, 502, 503, 504)
    return isinstance(error, httpx.TransportError | Incomplete | ConnectionError)


def connect(
    address: Address,
    *,
    overlap: float = 0.2,
    patience: float = PATIENCE,
    environment: Mapping[str, str] = os.environ,
) -> LabelStudioSource:
    """The source of an address, with the key that the environment holds."""
    client = LabelStudio(
        base_url=address.server, api_key=read_key(environment), timeout=60, max_retries=0
    )
    return LabelStudioSource(
        client, address, image_store(address.images), overlap=overlap, patience=patience
    )


def default_address(project: str = PROJECT, environment: Mapping[str, str] = os.environ) -> Address:
    """The address that `LABEL_STUDIO_URL` gives; UserError if it is not set."""
    server = environment.get("LABEL_STUDIO_URL", "").rstrip("/")
    if not server:
        raise UserError(
            "Label Studio is not configured: give --labels label-studio://HOST/PROJECT or set "
            "LABEL_STUDIO_URL, or choose annotation_sync.source = 'simulated'."
        )
    return Address(server, project)


def read_key(environment: Mapping[str, str] = os.environ) -> str:
    """The API key; UserError if the environment holds none."""
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
    if not key:
        raise UserError(
            "No key for Label Studio: set LABEL_STUDIO_API_KEY, or LABEL_STUDIO_API_KEY_FILE to a "
            "file that holds it (in Label Studio: Account & Settings)."
        )
    return key
