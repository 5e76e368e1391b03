"""Renderers that die; a module of its own, since every new process imports it."""

import os
from collections.abc import Callable
from typing import Any

from components.core.platform.config_types import Rendering
from components.core.rendering.pool import Image, Job, prepare_renderer


def fragile(rendering: Rendering, environments: str) -> Callable[[Job], Image]:
    """Dies of every material that `sickly` finds."""
    work = prepare_renderer(rendering, environments)

    def render(job: Job) -> Image:
        if sickly(job[0]):
            os.abort()
        return work(job)

    return render


def deadly(rendering: Rendering, environments: str) -> Callable[[Job], Image]:
    """Dies every time."""
    return lambda job: os.abort()


def sickly(grid: Any) -> bool:
    """True for about a third of all grids, by their last digits."""
    return int(float(grid.mean()) * 1e6) % 3 == 0
