"""Renderings of material grids in processes of their own, which may die or dawdle.

A sample whose rendering failed is None, with its reason noted: whoever asks decides what a missing
picture means. A rendering depends on its material and light alone, so where it is made does not
change it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType

import numpy as np
import numpy.typing as npt

from components.core.materials.grid import unpack
from components.core.platform.config_types import Rendering
from components.core.rendering.batch import Light
from components.core.rendering.environments import load_environments
from components.core.rendering.threads import prepare_with_share
from components.core.rendering.variant import see_one_gpu
from components.core.rendering.workers import Failed, Workers

Grid = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Job = tuple[Grid, Light]


def prepare_renderer(rendering: Rendering, environments: str) -> Callable[[Job], Image]:
    """What a process does with a grid and its light; environments as in `load_reward`."""
    from components.core.rendering.scene import Renderer

    renderer = Renderer(**rendering.model_dump())
    known = load_environments(environments)

    def work(job: Job) -> Image:
        grid, light = job
        return renderer.render_srgb(
            unpack(grid), known[light.environment], rotation=light.rotation, seed=light.seed
        )

    return work


def _prepare_on(gpu: int, prepare: Callable[[], Callable[[Job], Image]]) -> Callable[[Job], Image]:
    see_one_gpu(gpu)
    return prepare()


class RenderPool:
    """Renders grids in `count` processes; use as a context manager.

    timeout: seconds for one rendering. gpu: which of the GPUs that this process sees they render
    on, the training process's own; None leaves it to Dr.Jit, which takes the first, if any.
    failures: the reasons of all that failed so far.
    """

    def __init__(
        self,
        rendering: Rendering,
        environments: str,
        count: int,
        timeout: float,
        prepare: Callable[[Rendering, str], Callable[[Job], Image]] = prepare_renderer,
        gpu: int | None = None,
    ) -> None:
        work = partial(prepare_with_share, count, partial(prepare, rendering, environments))
        if gpu is not None:
            work = partial(_prepare_on, gpu, work)
        self._workers = Workers[Job, Image](work, count=count, timeout=timeout)
        self.failures: list[str] = []

    def __enter__(self) -> RenderPool:
        self._workers.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._workers.__exit__(kind, error, trace)

    def __call__(
        self, grids_nhwc: Sequence[Grid] | Grid, lights: Sequence[Light]
    ) -> list[Image | None]:
        """The grids (2H, 2W, 3) each under its light, in that order; None where it failed."""
        images: list[Image | None] = [None] * len(lights)
        jobs = list(zip(grids_nhwc, lights, strict=True))
        for number, outcome in self._workers.run(jobs):
            if isinstance(outcome, Failed):
                self.failures.append(outcome.reason)
            else:
                images[number] = outcome
        return images
