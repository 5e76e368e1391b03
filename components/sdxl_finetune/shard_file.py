"""One file of the cache: arrays as safetensors, mapped into memory instead of read.

The format is eight bytes with the header's length, a JSON header, and the arrays' bytes one after
the other, so that an array of the file is an array of the memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from components.core.errors import UserError

Arrays = Mapping[str, NDArray[Any]]
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


def map_arrays(file: Path, key: str) -> dict[str, NDArray[Any]]:
    """The arrays of a file, read-only; UserError if it is missing, cut or of another cache."""
    header, first = _header(file)
    if header.pop("__metadata__", {}).get("key") != key:
        raise UserError(f"{file} belongs to another cache: {_mend(file)}")
    end = first + max(part["data_offsets"][1] for part in header.values())
    if (size := file.stat().st_size) != end:
        raise UserError(f"{file} is truncated ({size} of {end} bytes): {_mend(file)}")
    return {
        name: np.memmap(
            file, _KINDS[part["dtype"]], "r", first + part["data_offsets"][0], tuple(part["shape"])
        )
        for name, part in header.items()
    }


def is_whole(file: Path, key: str) -> bool:
    """Whether a file is there, complete and of this cache."""
    try:
        map_arrays(file, key)
    except UserError:
        return False
    return True


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """The header and the offset of the first array."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH), "little")
            header = json.loads(stream.read(min(length, file.stat().st_size)))
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing: {_mend(file)}") from error
    except ValueError as error:
        raise UserError(f"{file} is truncated or damaged: {_mend(file)}") from error
    return header, _LENGTH + length


def _mend(file: Path) -> str:
    return f"remove {file.parent / 'cache.json'} and start again, which makes what is missing"
