"""Shares the one generator among everybody who asks at once.

Samples, not requests, are the unit, and sessions take turns (`turns`). A batch holds samples of the
same kind only (tileable or not, with or without the adapter), since one pass of the model makes
them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from apps.materials.champion import Generator
from apps.materials.jobs import ENDED, Job, Sample, State, View
from apps.materials.turns import (
    BATCH,
    PER_ADDRESS,
    PER_SESSION,
    QUEUE,
    Full,
    Limits,
    Turns,
)
from components.core.errors import UserError
from components.core.materials.material import Material

__all__ = ["ENDED", "FAILED", "QUEUE", "Full", "Job", "Sample", "Scheduler", "View"]

log = logging.getLogger(__name__)
FAILED = "The model could not make this material. Please try again; the server has noted why."


class Cancelled(Exception):
    """Nobody waits for this batch any more."""


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
        self._turns = Turns(Limits(batch, queue, per_session, per_address))
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
            self._turns.check_room(session, address, len(samples), closed=self._ending)
            job = Job(session, tuple(samples), address, pending=deque(range(len(samples))))
            self._turns.add(job)
            self._changed.notify_all()
            return job

    @property
    def works(self) -> bool:
        """Whether somebody samples."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Samples that no batch has taken yet."""
        return self._turns.waiting

    @property
    def running(self) -> int:
        """Samples of the batch that is being made."""
        return sum(job.in_batch for job in list(self._turns.jobs.values()))

    def find(self, job_id: str) -> Job | None:
        """The job of this id, unless it is unknown or forgotten."""
        return self._turns.jobs.get(job_id)

    def of_session(self, session: str) -> list[Job]:
        """A session's jobs that are remembered, the oldest first."""
        with self._changed:
            return [job for job in self._turns.jobs.values() if job.session == session]

    def view(self, job: Job) -> View:
        """How far the job is."""
        with self._changed:
            return View.of(job, self._turns.ahead(job))

    def wait(self, job: Job, version: int, timeout: float) -> View:
        """The job as soon as it differs from the view of this version, or after `timeout` s."""
        with self._changed:
            self._changed.wait_for(lambda: job.version != version or job.state in ENDED, timeout)
            return View.of(job, self._turns.ahead(job))

    def cancel(self, job: Job) -> None:
        """Drop what is not made yet; what is in the running batch is not kept."""
        with self._changed:
            if job.state not in ENDED:
                self._end(job, "cancelled")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ending or self.waiting > 0)
                if self._ending:
                    for job in self._turns.jobs.values():
                        if job.state not in ENDED:
                            self._end(job, "cancelled")
                    return
                batch = self._turns.take()
                self._changed.notify_all()
            started = time.monotonic()
            try:
                self._make(batch)
            except Cancelled:
                log.info("batch cancelled", extra={"samples": len(batch)})
            except Exception as error:
                self._fail([job for job, _ in batch], error)
            self.observe(time.monotonic() - started)

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
                if job.state not in ENDED:
                    job.keep(number, made)
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
        job.end(state)
        self._changed.notify_all()
