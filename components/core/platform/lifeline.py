"""A stage ends when the process that runs the pipeline ends, even by SIGKILL.

Otherwise a stage of a killed run would go on writing its checkpoints while the next run resumes
from them. The runner holds a named pipe open for writing; each stage waits for its end. The
kernel closes the pipe with the runner, whatever ended it.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
