"""A disk that is full, as one sentence."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.core.errors import UserError

_RUST = re.compile(r"\(os error (\d+)\)")
"""Libraries written in Rust (safetensors, tokenizers) put the system's number into their words."""


def system_error(error: BaseException) -> int | None:
    """The system's number of what went wrong, if it was the system."""
    if isinstance(error, OSError):
        return error.errno
    found = _RUST.search(str(error))
    return int(found.group(1)) if found else None


@contextmanager
def naming_full_disk(
    folder: Path, doing: str = "", kept: Callable[[], str] = lambda: ""
) -> Iterator[None]:
    """Turn running out of space, or of a quota, below `folder` into a UserError.

    doing: what was done, such as " while writing grids"; kept: a clause about what is left.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or system_error(error) not in (errno.ENOSPC, errno.EDQUOT):
            raise
        left = f"; {rest}" if (rest := kept()) else ""
        raise UserError(
            f"No space left on the disk of {folder}{doing}: free some space, or choose another "
            f"--output, and start again{left}."
        ) from error
