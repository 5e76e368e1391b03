"""Shares the one generator among everybody who asks at once.

Samples, not requests, are the unit: a batch takes one sample of each waiting session in turn, so
that somebody who asks for one material does not wait for somebody else's eight. A batch holds
samples of the same kind only (tileable or not, with or without the adapter), since one pass of the
model makes them.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from apps.materials.champion import Generator
from components.core.errors import UserError
from components.core.materials.material import Material

if TYPE_CHECKING:
    from components.core.diffusion.sampler import Seed

log = logging.getLogger(__name__)
BATCH = 8
QUEUE = 64
PER_SESSION = 16
PER_ADDRESS = 48
"""A class behind one address may fill most of the queue, but leaves places for others."""
KEPT = 1000

State = Literal["waiting", "running", "done", "cancelled", "failed"]
ENDED: tuple[State, ...] = ("done", "cancelled", "failed")
FAILED = "The model could not make this material. Please try again; the server has noted why."


class Full(UserError):
    """There is no room in the queue; asking later helps."""


class Cancelled(Exception):
    """Nobody waits for this batch any more."""


@dataclass(frozen=True)
class Sample:
    """One material to be made."""

    prompt: str
    seed: Seed
    tileable: bool
    adapted: bool
    light: str

    @property
    def kind(self) -> tuple[bool, bool]:
        """Samples of one kind fit into one batch."""
        return self.tileable, self.adapted


@dataclass
class Job:
    """A request: its samples, and how far they are. Read it through `Scheduler.view`.

    address: something that stands for where it came from, "" for this machine's own.
    """

    session: str
    samples: tuple[Sample, ...]
    address: str = ""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    state: State = "waiting"
    error: str = ""
    made: dict[int, str] = field(default_factory=dict)
    pending: deque[int] = field(default_factory=deque)
    in_batch: int = 0
    step: int = 0
    steps: int = 0
    version: int = 0


@dataclass(frozen=True)
class View:
    """A job at one moment. ahead: samples of others that come before its next one.

    made: ids of materials in the order of the samples; progress: from 0 to 1.
    """

    job: str
    state: State
    ahead: int
    step: int
    steps: int
    progress: float
    made: tuple[str, ...]
    total: int
    error: str
    version: int


Finish = Callable[[Generator, Sample, Material, str], str]
"""Render, score and keep a material of a session; returns its id."""


class Scheduler:
    """One thread that samples; `submit`, `view`, `wait` and `cancel` may come from any other.

    model: the generator to use, asked for at every batch. `observe`, which may be set before the
    start, is told how many seconds each batch took.
    """

    def __init__(
        self,
        model: Callable[[], Generator],
        finish: Finish,
        *,
        batch: int = BATCH,
        queue: int = QUEUE,
        per_session: int = PER_SESSION,
        per_address: int = PER_ADDRESS,
    ) -> None:
        self._model, self._finish = model, finish
        self.observe: Callable[[float], None] = lambda seconds: None
        self._batch, self._queue = batch, queue
        self._per_session, self._per_address = per_session, per_address
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._turns: deque[str] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="sampling", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch in hand, then end; what waits is cancelled."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, session: str, samples: Sequence[Sample], address: str = "") -> Job:
        """Queue a request; `Full` if there is no room for it."""
        with self._changed:
            self._check_room(session, address, len(samples))
            job = Job(session, tuple(samples), address, pending=deque(range(len(samples))))
            self._jobs[job.id] = job
            if session not in self._turns:
                self._turns.append(session)
            self._forget()
            self._changed.notify_all()
            return job

    def _check_room(self, session: str, address: str, count: int) -> None:
        jobs = [job for job in self._jobs.values() if job.pending]
        own = sum(len(job.pending) for job in jobs if job.session == session)
        near = sum(len(job.pending) for job in jobs if address and job.address == address)
        if self.waiting + count > self._queue or self._ending:
            raise Full("too many people are waiting: try again in a minute")
        if own + count > self._per_session:
            raise Full(
                f"{own} of your materials are waiting, and {self._per_session} may: wait for "
                "them or cancel them"
            )
        if near + count > self._per_address:
            raise Full(
                f"{near} materials of people at your address are waiting, and "
                f"{self._per_address} may: try again in a minute"
            )

    @property
    def works(self) -> bool:
        """Whether somebody samples."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Samples that no batch has taken yet."""
        return sum(len(job.pending) for job in list(self._jobs.values()))

    @property
    def running(self) -> int:
        """Samples of the batch that is being made."""
        return sum(job.in_batch for job in list(self._jobs.values()))

    def find(self, job_id: str) -> Job | None:
        """The job of this id, unless it is unknown or forgotten."""
        return self._jobs.get(job_id)

    def of_session(self, session: str) -> list[Job]:
        """A session's jobs that are remembered, the oldest first."""
        with self._changed:
            return [job for job in self._jobs.values() if job.session == session]

    def view(self, job: Job) -> View:
        """How far the job is."""
        with self._changed:
            return self._view(job)

    def wait(self, job: Job, version: int, timeout: float) -> View:
        """The job as soon as it differs from the view of this version, or after `timeout` s."""
        with self._changed:
            self._changed.wait_for(lambda: job.version != version or job.state in ENDED, timeout)
            return self._view(job)

    def cancel(self, job: Job) -> None:
        """Drop what is not made yet; what is in the running batch is not kept."""
        with self._changed:
            if job.state not in ENDED:
                self._end(job, "cancelled")

    def _view(self, job: Job) -> View:
        total = len(job.samples)
        running = job.in_batch * job.step / job.steps if job.steps else 0.0
        ended = total if job.state == "done" else len(job.made)
        return View(
            job.id, job.state, self._ahead(job), job.step, job.steps,
            min(1.0, (ended + running) / total),
            tuple(job.made[number] for number in sorted(job.made)),
            total, job.error, job.version,
        )  # fmt: skip

    def _ahead(self, job: Job) -> int:
        """In the order of the turns, each session gives one sample before it is this one's turn."""
        if not job.pending:
            return 0
        waiting = {other.session for other in self._jobs.values() if other.pending}
        turns = [session for session in self._turns if session in waiting]
        before = turns.index(job.session) if job.session in turns else 0
        older = 0
        for other in self._jobs.values():
            if other is job:
                break
            older += len(other.pending) if other.session == job.session else 0
        return before + older

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ending or self.waiting > 0)
                if self._ending:
                    for job in self._jobs.values():
                        if job.state not in ENDED:
                            self._end(job, "cancelled")
                    return
                batch = self._take()
            started = time.monotonic()
            try:
                self._make(batch)
            except Cancelled:
                log.info("batch cancelled", extra={"samples": len(batch)})
            except Exception as error:
                self._fail([job for job, _ in batch], error)
            self.observe(time.monotonic() - started)

    def _take(self) -> list[tuple[Job, int]]:
        """The next batch: one sample of each session in turn, all of the first one's kind."""
        batch: list[tuple[Job, int]] = []
        kind: tuple[bool, bool] | None = None
        found = True
        while found and len(batch) < self._batch:
            found = False
            for session in list(self._turns):
                taken = next(self._fitting(session, kind), None)
                if taken is None or len(batch) == self._batch:
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
        self._changed.notify_all()
        return batch

    def _pass_turns(self, served: list[str]) -> None:
        """Whoever was served goes behind those who were not."""
        waiting = {job.session for job in self._jobs.values() if job.pending}
        others = [session for session in self._turns if session not in served]
        order = [*others, *dict.fromkeys(served)]
        self._turns = deque(session for session in order if session in waiting)

    def _fitting(self, session: str, kind: tuple[bool, bool] | None) -> Iterator[tuple[Job, int]]:
        for job in self._jobs.values():
            if job.session == session:
                for number in job.pending:
                    if kind in (None, job.samples[number].kind):
                        yield job, number

    def _make(self, batch: list[tuple[Job, int]]) -> None:
        generator = self._model()
        samples = [job.samples[number] for job, number in batch]

        def progress(step: int, steps: int) -> None:
            with self._changed:
                alive = [job for job, _ in batch if job.state not in ENDED]
                if not alive:
                    raise Cancelled
                for job in alive:
                    job.step, job.steps = step, steps
                    job.version += 1
                self._changed.notify_all()

        materials = generator.generate(
            [sample.prompt for sample in samples],
            [sample.seed for sample in samples],
            tileable=samples[0].tileable,
            adapted=samples[0].adapted,
            progress=progress,
        )
        for (job, number), material in zip(batch, materials, strict=True):
            if job.state in ENDED:
                continue
            try:
                made = self._finish(generator, job.samples[number], material, job.session)
            except Exception as error:  # what is wrong with one leaves its companions alone
                self._fail([job], error)
                continue
            with self._changed:
                self._made(job, number, made)

    def _made(self, job: Job, number: int, made: str) -> None:
        if job.state in ENDED:
            return
        job.made[number] = made
        job.in_batch -= 1
        job.version += 1
        if len(job.made) == len(job.samples):
            job.state = "done"
        self._changed.notify_all()

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        known = isinstance(error, UserError)
        log.error("generation failed", exc_info=None if known else error)
        with self._changed:
            for job in jobs:
                if job.state not in ENDED:
                    job.error = str(error) if known else FAILED
                    self._end(job, "failed")

    def _end(self, job: Job, state: State) -> None:
        job.state = state
        job.pending.clear()
        job.in_batch = 0
        job.version += 1
        self._changed.notify_all()

    def _forget(self) -> None:
        """The oldest jobs that have ended."""
        ended = [job.id for job in self._jobs.values() if job.state in ENDED]
        for job_id in ended[: max(0, len(self._jobs) - KEPT)]:
            del self._jobs[job_id]
