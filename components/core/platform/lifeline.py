"""A process ends when the one that started it ends, even by SIGKILL.

Otherwise a stage of a killed run, or the training processes of a killed stage, would go on writing
checkpoints while the next run resumes from them. The runner holds a named pipe open for writing,
and each stage waits for its end; so does a stage for the processes that it trains in. The kernel
closes the pipe with its holder, whatever ended it.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIFELINE = "REALMAT_LIFELINE"
"""Environment variable with the named pipe that a process and those it starts are to follow."""


@contextmanager
def lifeline(path: Path) -> Iterator[None]:
    """Holds a new named pipe at `path` open; processes that follow it end with this one."""
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield
    finally:
        os.close(pipe)
        path.unlink(missing_ok=True)


def follow_lifeline() -> None:
    """Follows the lifeline that the environment names, if it does."""
    if path := os.environ.get(LIFELINE):
        follow(Path(path))


def follow(path: Path) -> None:
    """Lets this process end at once, as by a kill, when the holder of the lifeline has ended."""
    try:
        pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        os._exit(1)
    try:
        os.read(pipe, 1)  # nothing to read and no writer: the holder has ended before
        os._exit(1)
    except BlockingIOError:
        os.set_blocking(pipe, True)

    def wait() -> None:
        os.read(pipe, 1)
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
