"""What is asked of the one generator: a request is a job of samples, each a material to be made."""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from components.core.diffusion.sampler import Seed

State = Literal["waiting", "running", "done", "cancelled", "failed"]
ENDED: tuple[State, ...] = ("done", "cancelled", "failed")


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

    def keep(self, number: int, made: str) -> None:
        """Note the id of the material that a sample became."""
        self.made[number] = made
        self.in_batch -= 1
        self.version += 1
        if len(self.made) == len(self.samples):
            self.state = "done"

    def end(self, state: State) -> None:
        """Nothing more is made of it."""
        self.state = state
        self.pending.clear()
        self.in_batch = 0
        self.version += 1


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

    @classmethod
    def of(cls, job: Job, ahead: int) -> View:
        """The job now."""
        total = len(job.samples)
        running = job.in_batch * job.step / job.steps if job.steps else 0.0
        ended = total if job.state == "done" else len(job.made)
        return cls(
            job.id, job.state, ahead, job.step, job.steps,
            min(1.0, (ended + running) / total),
            tuple(job.made[number] for number in sorted(job.made)),
            total, job.error, job.version,
        )  # fmt: skip
