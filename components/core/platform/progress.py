"""Progress of long work: a bar on a terminal, plain lines without one."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0


def track(iterable: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yields the items and shows how far they are.

    On a terminal this is a progress bar; in a log it is one line every ten seconds and one at the
    end, so that a log stays readable and a silent minute never looks like a hang.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if sys.stdout.isatty():
        from rich.progress import track as rich_track

        yield from rich_track(iterable, description=description, total=total)
    else:
        yield from _track_with_lines(iterable, description, total)


def _track_with_lines(
    iterable: Iterable[Item], description: str, total: int | None
) -> Iterator[Item]:
    started = last = time.monotonic()
    done = 0
    for item in iterable:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            share = f"{done}/{total}" if total else str(done)
            print(f"{description}: {share}, {now - started:.0f} s", flush=True)
    print(f"{description}: done, {done} in {time.monotonic() - started:.1f} s", flush=True)
