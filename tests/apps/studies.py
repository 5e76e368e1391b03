"""A small study for tests: flat pictures whose colour says which method and pair they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from apps.study.database import Database
from apps.study.design import Comparison, Design, create
from apps.study.media import Frames

METHODS = ("after", "before")


def picture(pair: int, method: int, frames: int = 1) -> Frames:
    color = np.array([40 + 10 * (pair % 20), 60 + 60 * method, 120], np.uint8)
    made = np.broadcast_to(color, (frames, 48, 48, 3)).copy()
    made[:, :8, :8] = np.arange(frames, dtype=np.uint8)[:, None, None, None] * 20
    return made


def frames_of(pair: int, methods: Sequence[str], frames: int) -> Mapping[str, Frames]:
    return {name: picture(pair, number, frames) for number, name in enumerate(methods)}


def comparisons(count: int, methods: Sequence[str] = METHODS, frames: int = 1) -> list[Comparison]:
    return [
        Comparison(
            f"pair-{i}", f"material {i}", ("brick", "wood")[i % 2],
            partial(frames_of, i, methods, frames),
        )
        for i in range(count)
    ]  # fmt: skip


def make_study(
    database: Database,
    media: Path,
    count: int = 8,
    methods: Sequence[str] = METHODS,
    name: str = "one",
    **settings: float,
) -> None:
    design = Design(**{"per_survey": 4, "minimum_seconds": 0.0, **settings})  # type: ignore[arg-type]
    create(database, media, name, comparisons(count, methods), design)
