"""How many of the machine's cores each of several rendering processes may use.

Dr.Jit starts a thread a core in every process, so that two processes on two cores would have four
threads that wait for each other. An image does not depend on the number of threads.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable
from typing import TypeVar

Prepared = TypeVar("Prepared")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_with_share(processes: int, prepare: Callable[[], Prepared]) -> Prepared:
    """`prepare()` in one of so many processes, which together have a rendering thread a core.

    For processes of their own that write no .exr file: with one thread of Dr.Jit, Mitsuba waits for
    ever when it writes one.
    """
    # Where it does not load, `prepare` says so.
    with contextlib.suppress(ImportError):
        importlib.import_module("drjit").set_thread_count(max(1, cores() // processes))
    return prepare()
