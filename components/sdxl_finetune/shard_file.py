"""One file of the cache: arrays as safetensors, mapped into memory instead of read.

The format is eight bytes with the header's length, a JSON header, and the arrays' bytes one after
the other, so that an array of the file is an array of the memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from components.core.errors import UserError

Arrays = Mapping[str, NDArray[Any]]
Read = Callable[[int, int], bytes]  # the bytes of a file from one place to another
_KINDS = {"F32": np.float32, "I64": np.int64}
_LENGTH = 8


def write_arrays(file: Path, arrays: Arrays, key: str) -> None:
    """Write a file whole or not at all; `key` says what cache it belongs to.

    Several processes may write the same file: what they write is the same.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    # safetensors writes the memory as it lies, which is in another order after a transposition.
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(plain, partial, metadata={"key": key})
    partial.replace(file)


class Place(NamedTuple):
    """Where an array lies in its file: its rows follow each other from byte `start` on."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int

    def rows(self, first: int, count: int = 1) -> tuple[int, int]:
        """The first byte of some rows, and the one after their last."""
        size = self.dtype.itemsize * prod(self.shape[1:])
        return self.start + first * size, self.start + (first + count) * size


def places(file: str, size: int, read: Read, key: str, mend: str) -> dict[str, Place]:
    """Where the arrays of a file lie; UserError if it is cut or of another cache.

    size: of the file in bytes; mend: for the message, what to do.
    """
    try:
        first = _LENGTH + int.from_bytes(read(0, min(_LENGTH, size)), "little")
        header = json.loads(read(_LENGTH, min(first, size)))
    except ValueError as error:
        raise UserError(f"{file} is truncated or damaged: {mend}") from error
    if header.pop("__metadata__", {}).get("key") != key:
        raise UserError(f"{file} belongs to another cache: {mend}")
    end = first + max(part["data_offsets"][1] for part in header.values())
    if size != end:
        raise UserError(f"{file} is truncated ({size} of {end} bytes): {mend}")
    return {
        name: Place(
            np.dtype(_KINDS[part["dtype"]]), tuple(part["shape"]), first + part["data_offsets"][0]
        )
        for name, part in header.items()
    }


def map_arrays(file: Path, key: str) -> dict[str, NDArray[Any]]:
    """The arrays of a file, read-only; UserError if it is missing, cut or of another cache."""
    mend = f"remove {file.parent / 'cache.json'} and start again, which makes what is missing"
    try:
        with file.open("rb") as stream:

            def read(start: int, stop: int) -> bytes:
                stream.seek(start)
                return stream.read(max(0, stop - start))

            found = places(str(file), file.stat().st_size, read, key, mend)
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing: {mend}") from error
    return {
        name: np.memmap(file, place.dtype, "r", place.start, place.shape)
        for name, place in found.items()
    }


def is_whole(file: Path, key: str) -> bool:
    """Whether a file is there, complete and of this cache."""
    try:
        map_arrays(file, key)
    except UserError:
        return False
    return True
