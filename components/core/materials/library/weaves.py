"""Interlaced threads: which one is on top, its relief, and tartan stripe sequences."""

from __future__ import annotations

import numpy as np

from components.core.materials.material import FloatArray
from components.core.materials.noise import coordinates


def weave(
    size: int, n: int, kind: str, slack: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Height (0..1) of n × n interlaced threads, and 1 where the upright (warp) thread is on top.

    The warp is over the weft where a rule of the thread numbers says so: alternating for plain
    weave, a diagonal of period four for twill, which turns back for herringbone.
    """
    u, v = coordinates(size)
    x, y = (u + slack[0]) * n, (v + slack[1]) * n
    i, j = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    if kind == "plain":
        up = (i + j) % 2 == 0
    elif kind == "denim":
        up = (i + j) % 4 != 0
    elif kind == "herringbone":
        fold = n // 2
        up = (np.where((i % n) // (fold // 2) % 2 == 0, i, -i - 1) + j) % 4 < 2
    else:
        up = (i + j) % 4 < 2
    p, q = x - i - 0.5, y - j - 0.5
    across = np.where(up, p, q)
    along = np.where(up, q, p)
    crown = np.sqrt(np.clip(1 - (2 * across * 0.96) ** 2, 0, 1))
    arch = np.cos(np.pi * along * (0.9 if kind == "plain" else 0.55))
    return (crown * (0.45 + 0.55 * arch)).astype(np.float32), up.astype(np.float32)


def stripes(rng: np.random.Generator, at: FloatArray, n: int) -> FloatArray:
    """A mirrored tartan sequence: per thread 0 (ground), 1 (dark band) or 2 (pale line)."""
    half = np.zeros(n // 2, np.int64)
    wide = int(rng.integers(n // 6, n // 3))
    half[:wide] = 1
    half[int(rng.integers(wide, n // 2))] = 2
    sett = np.concatenate([half, half[::-1]])
    return sett[np.floor(at * n).astype(np.int64) % n].astype(np.float32)
