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

from components.core.platform.cores import cores

Prepared = TypeVar("Prepared")


def share(processes: int = 1) -> int:
    """The rendering threads of each of so many processes, which together have one a core.

    Training processes on one machine (torchrun's LOCAL_WORLD_SIZE) have as many each of their own.
    """
    return max(1, cores() // (processes * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def prepare_with_share(processes: int, prepare: Callable[[], Prepared]) -> Prepared:
    """`prepare()` in one of so many processes, with its share of the threads.

    For processes of their own, because the number stays.
    """
    # Where it does not load, `prepare` says so.
    with contextlib.suppress(ImportError):
        importlib.import_module("drjit").set_thread_count(share(processes))
    return prepare()


def keep_to_share() -> None:
    """Have no more threads than this process's share, where Dr.Jit made one for each core that the
    machine has."""
    drjit = importlib.import_module("drjit")
    if drjit.thread_count() > share():
        drjit.set_thread_count(share())


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
