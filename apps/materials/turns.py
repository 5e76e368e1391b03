"""Whose sample comes next, and who still finds a place.

Sessions take turns: a batch takes one sample of each in turn, so that somebody who asks for one
material does not wait for somebody else's eight.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from apps.materials.jobs import ENDED, Job
from components.core.errors import UserError

BATCH = 8
QUEUE = 64
PER_SESSION = 16
PER_ADDRESS = 48
"""A class behind one address may fill most of the queue, but leaves places for others."""
KEPT = 1000


class Full(UserError):
    """There is no room in the queue; asking later helps."""


@dataclass(frozen=True)
class Limits:
    """How many samples a batch takes, and how many may wait: in all, of a session, of an
    address."""

    batch: int = BATCH
    queue: int = QUEUE
    per_session: int = PER_SESSION
    per_address: int = PER_ADDRESS


class Turns:
    """The jobs that are remembered, and the order of the sessions; its owner keeps others out."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self._order: deque[str] = deque()

    @property
    def waiting(self) -> int:
        """Samples that no batch has taken yet."""
        return sum(len(job.pending) for job in list(self.jobs.values()))

    def add(self, job: Job) -> None:
        """Let a job wait for its turns; it has room (`check_room`)."""
        self.jobs[job.id] = job
        if job.session not in self._order:
            self._order.append(job.session)
        self._forget()

    def check_room(self, session: str, address: str, count: int, *, closed: bool = False) -> None:
        """`Full` if so many samples more may not wait."""
        limits = self.limits
        jobs = [job for job in self.jobs.values() if job.pending]
        own = sum(len(job.pending) for job in jobs if job.session == session)
        near = sum(len(job.pending) for job in jobs if address and job.address == address)
        if self.waiting + count > limits.queue or closed:
            raise Full("too many people are waiting: try again in a minute")
        if own + count > limits.per_session:
            raise Full(
                f"{own} of your materials are waiting, and {limits.per_session} may: wait for "
                "them or cancel them"
            )
        if near + count > limits.per_address:
            raise Full(
                f"{near} materials of people at your address are waiting, and "
                f"{limits.per_address} may: try again in a minute"
            )

    def ahead(self, job: Job) -> int:
        """In the order of the turns, each session gives one sample before it is this one's turn."""
        if not job.pending:
            return 0
        waiting = {other.session for other in self.jobs.values() if other.pending}
        turns = [session for session in self._order if session in waiting]
        before = turns.index(job.session) if job.session in turns else 0
        older = 0
        for other in self.jobs.values():
            if other is job:
                break
            older += len(other.pending) if other.session == job.session else 0
        return before + older

    def take(self) -> list[tuple[Job, int]]:
        """The next batch: one sample of each session in turn, all of the first one's kind."""
        batch: list[tuple[Job, int]] = []
        kind: tuple[bool, bool] | None = None
        found = True
        while found and len(batch) < self.limits.batch:
            found = False
            for session in list(self._order):
                taken = next(self._fitting(session, kind), None)
                if taken is None or len(batch) == self.limits.batch:
                    continue
                job, number = taken
                kind = job.samples[number].kind
                job.pending.remove(number)
                batch.append(taken)
                found = True
        self._pass_turns([job.session for job, _ in batch])
        for job, _ in batch:
            job.state, job.step, job.steps = "running", 0, 0
            job.in_batch = sum(other is job for other, _ in batch)
            job.version += 1
        return batch

    def _pass_turns(self, served: list[str]) -> None:
        """Whoever was served goes behind those who were not."""
        waiting = {job.session for job in self.jobs.values() if job.pending}
        others = [session for session in self._order if session not in served]
        order = [*others, *dict.fromkeys(served)]
        self._order = deque(session for session in order if session in waiting)

    def _fitting(self, session: str, kind: tuple[bool, bool] | None) -> Iterator[tuple[Job, int]]:
        for job in self.jobs.values():
            if job.session == session:
                for number in job.pending:
                    if kind in (None, job.samples[number].kind):
                        yield job, number

    def _forget(self) -> None:
        """The oldest jobs that have ended."""
        ended = [job.id for job in self.jobs.values() if job.state in ENDED]
        for job_id in ended[: max(0, len(self.jobs) - KEPT)]:
            del self.jobs[job_id]
