"""SIGTERM, by which clusters cancel, evict and preempt, as an orderly end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EXIT_CODE = 128 + signal.SIGTERM


class Preempted(SystemExit):
    """The process was asked to end and has saved what it had; it exits with 128 + SIGTERM."""

    def __init__(self, message: str) -> None:
        super().__init__(int(EXIT_CODE))
        self.message = message

    def __str__(self) -> str:
        return self.message


@contextmanager
def noticing_sigterm() -> Iterator[Callable[[], bool]]:
    """Within this, SIGTERM ends nothing; the function that it yields tells whether one came.

    For loops that finish a step and save it before they end. Python delivers signals to its main
    thread alone, so in another thread the answer is always no.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.set())
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Turns SIGTERM into an exit that cleans up, in the main thread; in others nothing changes."""

    def leave(number: int, frame: object) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
