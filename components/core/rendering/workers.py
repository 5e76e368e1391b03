"""Processes that render: jobs go out one by one, a crash costs one image one retry.

Mitsuba can take its whole process down (an LLVM abort, memory), which no `except` catches. Each
worker therefore is a process of its own with one job in hand: when it dies, that job and no other
is given to a fresh worker, once; then it counts as failed. With a `timeout`, a job that takes
longer counts as failed at once: its worker is ended. The start of a worker does not count, but has
a limit of its own, `STARTING`. A job of many steps may be a generator, which yields what it begins
with: its timeout is that of a step, and `Failed` names the step. What is the user's to mend
(`UserError`) is raised again here, at once. A worker is replaced after `LIFETIME`
images, which bounds what a leak in a renderer could take.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Generic, TypeVar

from components.core.errors import UserError
from components.core.platform.cores import cores

LIFETIME = 2000
ATTEMPTS = 2
STARTING = 600.0
"""Seconds that the start of a worker may take if jobs have a timeout."""

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failed:
    """Job number `job` could not be done: its worker died or raised, as often as it was tried.

    step: which step of it was begun last; None for a job without steps, or before the first.
    """

    job: int
    reason: str
    step: Any = None


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    job: int | None = None
    given: Any = None
    step: Any = None
    done: int = 0
    since: float = 0.0
    ready: bool = False


@dataclass
class Workers(Generic[Job, Result]):
    """`count` processes, each of which calls `prepare()` once and its result with every job.

    A job need not be one image: a shard of them is a job too, `lifetime` counts jobs.

    prepare: a function of a module, called in the worker, which returns the function that does a
    job. Use as a context manager; the processes end with it.
    """

    prepare: Callable[[], Callable[[Job], Result | Generator[Any, None, Result]]]
    count: int = field(default_factory=cores)
    lifetime: int = LIFETIME
    timeout: float | None = None
    """Seconds that a job, or a step of it, may take, once its worker has started."""
    attempts: int = ATTEMPTS
    """How often a job whose worker died or raised is tried in all."""

    def __post_init__(self) -> None:
        self._workers: list[_Worker] = []

    def __enter__(self) -> Workers[Job, Result]:
        self._workers = [self._start() for _ in range(self.count)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            self._stop(worker)
        self._workers = []

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Result | Failed]]:
        """(number, result) of every job, in the order in which they are done."""
        self._forget()
        waiting = deque((number, 1) for number in range(len(jobs)))
        attempts: dict[int, int] = {}
        open_jobs = len(jobs)
        while open_jobs:
            for worker in self._workers:
                if worker.job is None and waiting:
                    worker.job, attempts[worker.job] = waiting.popleft()
                    self._give(worker, jobs[worker.job])
            busy = {worker.pipe: worker for worker in self._workers if worker.job is not None}
            for pipe in wait(list(busy), self._patience()):
                worker = busy[pipe]  # type: ignore[index]
                taken = self._take(worker)
                if taken is None:
                    continue  # it has started, or begins with a step
                number, outcome = taken
                if isinstance(outcome, Failed) and attempts[number] < self.attempts:
                    waiting.append((number, attempts[number] + 1))
                    continue
                open_jobs -= 1
                yield number, outcome
            for late in self._late():
                open_jobs -= 1
                yield late.job, late

    def _forget(self) -> None:
        """End the workers that are still at jobs of a run which nobody followed to its end."""
        for worker in [worker for worker in self._workers if worker.job is not None]:
            self._replace(worker)

    def _allowed(self, worker: _Worker) -> float:
        """Seconds from `since` until the worker is late."""
        return (self.timeout or 0.0) if worker.ready else STARTING

    def _patience(self) -> float | None:
        """Seconds until the first job at work is late."""
        if self.timeout is None:
            return None
        busy = [worker for worker in self._workers if worker.job is not None]
        first = min(worker.since + self._allowed(worker) for worker in busy)
        return max(0.0, first - time.monotonic())

    def _late(self) -> Iterator[Failed]:
        """End the workers whose jobs are late, and tell of these."""
        for worker in list(self._workers) if self.timeout is not None else []:
            late = time.monotonic() - worker.since > self._allowed(worker)
            # An answer that lies in the pipe is no longer late.
            if worker.job is not None and late and not worker.pipe.poll():
                self._replace(worker)
                reason = f"it took longer than {self._allowed(worker):g} seconds"
                yield Failed(worker.job, reason, worker.step)

    def _give(self, worker: _Worker, job: Job) -> None:
        worker.since, worker.given = time.monotonic(), job
        if worker.ready:
            self._send(worker)

    def _send(self, worker: _Worker) -> None:
        """Hand over the job. A worker that does not read yet would make us wait with it."""
        job, worker.given = worker.given, None
        # A pipe whose worker has just died is readable too: `_take` finds that out.
        try:
            worker.pipe.send(job)
        except OSError:
            return

    def _take(self, worker: _Worker) -> tuple[int, Any] | None:
        number = worker.job
        assert number is not None
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            reason = f"the process ended with exit code {worker.process.exitcode}"
            self._replace(worker)
            return number, Failed(number, reason, worker.step)
        if kind == "ready":
            worker.ready, worker.since = True, time.monotonic()
            self._send(worker)
            return None
        if kind == "step":
            worker.step, worker.since = value, time.monotonic()
            return None
        step, worker.step = worker.step, None
        worker.job, worker.done = None, worker.done + 1
        if worker.done >= self.lifetime:
            self._replace(worker)
        if kind == "refused":
            raise UserError(value)
        return number, value if kind == "result" else Failed(number, value, step)

    def _replace(self, worker: _Worker) -> None:
        self._stop(worker)
        self._workers[self._workers.index(worker)] = self._start()

    def _start(self) -> _Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.prepare), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _stop(self, worker: _Worker) -> None:
        worker.pipe.close()
        if worker.ready and worker.job is None:
            worker.process.join(timeout=5)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _serve(pipe: Connection, prepare: Callable[[], Callable[[Any], Any]]) -> None:
    """The life of a worker: until the pipe closes, one answer for each job."""
    try:
        work = prepare()
    except UserError as error:
        work = _refusal(str(error))
    try:
        pipe.send(("ready", None))
    except OSError:
        return
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            result = work(job)
            if isinstance(result, Generator):
                result = _followed(result, pipe)
            answer = ("result", result)
        except UserError as error:
            answer = ("refused", str(error))
        except Exception as error:
            answer = ("error", f"{type(error).__name__}: {error}")
        pipe.send(answer)


def _followed(steps: Generator[Any, None, Any], pipe: Connection) -> Any:
    """The result of a job of many steps, each of which is told as it begins."""
    while True:
        try:
            pipe.send(("step", next(steps)))
        except StopIteration as end:
            return end.value


def _refusal(message: str) -> Callable[[Any], Any]:
    """Answers every job with what is the user's to mend."""

    def refuse(job: Any) -> Any:
        raise UserError(message)

    return refuse
