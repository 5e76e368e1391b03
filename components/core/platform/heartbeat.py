"""A file that a living process writes again every few seconds, for processes on other machines.

Their clocks need not agree, and a volume's locks may not reach from one machine to another. So who
watches looks only whether the file has changed within a time that its own clock measures.
lifeline.py tells processes of one machine the same without a delay.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

SECONDS_BETWEEN_BEATS = 2.0


@contextmanager
def beating(file: Path, words: str = "", gone: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Writes `words` and a growing number to the file until the end of the block.

    gone: called when somebody has removed the file, after which it is not written again.
    """
    file.write_text(_beat(words, 0), encoding="utf-8")
    ended = threading.Event()

    def beat() -> None:
        for number in count(1):
            if ended.wait(SECONDS_BETWEEN_BEATS):
                return
            try:
                with file.open("r+", encoding="utf-8") as stream:  # which makes no new file
                    stream.write(_beat(words, number))
            except FileNotFoundError:
                if not ended.is_set():
                    gone()
                return
            except OSError:
                continue  # a full or slow disk; the next beat may come through

    thread = threading.Thread(target=beat, name=f"heartbeat {file.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10)


def _beat(words: str, number: int) -> str:
    return f"{words}\n{number}\n"


def words_of(file: Path) -> str:
    """The words of a heartbeat; "" for a file that is not there."""
    return _read(file).partition("\n")[0]


class Pulse:
    """Whether a heartbeat goes on; what it has seen last, and since when."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.file, self.clock = file, clock
        self.seen, self.since = _read(file), clock()

    def still(self) -> float:
        """For how many seconds the file has not changed; a look at it."""
        now = _read(self.file)
        if now != self.seen:
            self.seen, self.since = now, self.clock()
        return self.clock() - self.since


def _read(file: Path) -> str:
    with suppress(OSError):
        return file.read_text(encoding="utf-8", errors="replace")
    return ""
