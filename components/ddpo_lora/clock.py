"""Seconds by phase of an epoch; phases in different threads may run at the same time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up how long each phase took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the duration of the block to the phase `name`."""
        started = time.perf_counter()
        yield
        spent = time.perf_counter() - started
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + spent
