"""How many of the machine's cores each of several rendering processes may use.

Dr.Jit starts a thread a core in every process, so that two processes on two cores would have four
threads that wait for each other. An image does not depend on the number of threads.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

Prepared = TypeVar("Prepared")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_with_share(processes: int, prepare: Callable[[], Prepared]) -> Prepared:
    """`prepare()` in one of so many processes, which together have a rendering thread a core.

    For processes of their own, because the number stays.
    """
    # Where it does not load, `prepare` says so.
    with contextlib.suppress(ImportError):
        importlib.import_module("drjit").set_thread_count(max(1, cores() // processes))
    return prepare()


@contextlib.contextmanager
def threads_for_files() -> Iterator[None]:
    """Mitsuba reads and writes .exr files inside.

    With a single thread of Dr.Jit, as on a machine with one core or in one of many processes, it
    would wait for itself, for ever.
    """
    drjit = importlib.import_module("drjit")
    threads = drjit.thread_count()
    if threads > 1:
        yield
        return
    drjit.set_thread_count(2)
    try:
        yield
    finally:
        drjit.set_thread_count(threads)
