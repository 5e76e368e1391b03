"""Decoders that fail, in a module that a fresh process imports quickly."""

from __future__ import annotations

import os
from collections.abc import Callable

from components.core.errors import Unreachable
from components.core.materials.photo_chunks import Chunk, Decoded, contents, decode, singles


def deadly(size: int) -> Callable[[Chunk], Decoded]:
    """Image 007 takes the process down."""

    def work(chunk: Chunk) -> Decoded:
        for content, _ in zip(contents(chunk), singles(chunk)[0], strict=False):
            if content.name.endswith("007.png"):
                os._exit(3)
        return decode(chunk, size)

    return work


def silent(size: int) -> Callable[[Chunk], Decoded]:
    """The store is lost in the middle of the second chunk."""

    def work(chunk: Chunk) -> Decoded:
        if "007.png" in chunk.names:
            raise Unreachable("s3://photos does not answer")
        return decode(chunk, size)

    return work
