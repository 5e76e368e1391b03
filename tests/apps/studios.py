"""Studios with a generator of a few lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import uvicorn
from fastapi import FastAPI

from apps.graceful import GracefulServer, end_heartbeats
from apps.materials.champion import Champion
from apps.materials.studio import Studio
from components.core.errors import NoScorer
from components.core.generator import ModelVersion, seed_words
from components.core.materials.material import Material
from tests.evaluation.micro import FlatRenderer, environments

if TYPE_CHECKING:
    from components.core.diffusion.sampler import Progress, Seed

STEPS = 4


class FakeGenerator:
    """Flat materials, whose grey is the seed's; `gate` holds it at every step until it is set."""

    def __init__(self, version: str = "3", *, adapter: bool = True, scorer: bool = True) -> None:
        self.version = ModelVersion("realmat", version, "champion")
        self.has_adapter = adapter
        self.scorer = scorer
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[list[tuple[str, Seed, bool, bool]]] = []
        self.fails: Callable[[], Exception] | None = None

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[Seed],
        *,
        tileable: bool,
        adapted: bool,
        progress: Progress | None,
    ) -> list[Material]:
        """One flat material for each seed."""
        pairs = list(zip(prompts, seeds, strict=True))
        self.batches.append([(p, s, tileable, adapted) for p, s in pairs])
        if self.fails is not None:
            raise self.fails()
        for step in range(STEPS):
            self.gate.wait(10)
            if progress is not None:
                progress(step + 1, STEPS)
        return [self._flat(prompt, seed, tileable, adapted) for prompt, seed in pairs]

    def _flat(self, prompt: str, seed: Seed, tileable: bool, adapted: bool) -> Material:
        words = seed_words(seed)
        grey = np.full((8, 8), words["seed"] % 10 / 10, np.float32)
        known = {
            **words, "prompt": prompt, "tileable": tileable, "model": self.version.name,
            "version": self.version.version, "reinforced": adapted,
        }  # fmt: skip
        albedo = np.repeat(grey[..., None], 3, axis=-1)
        return Material(albedo, grey, grey, grey, caption=prompt, category="brick", metadata=known)

    def realism(self, images_nhwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The mean brightness."""
        if not self.scorer:
            raise NoScorer("no scorer")
        return images_nhwc.mean(axis=(1, 2, 3)).astype(np.float32) / 255


@contextmanager
def running(folder: Path, generator: FakeGenerator | None = None) -> Iterator[Studio]:
    """A studio whose thread works."""
    studio = Studio.open(
        Champion(generator or FakeGenerator()), FlatRenderer(), environments(), folder
    )
    studio.start()
    try:
        yield studio
    finally:
        studio.stop()


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address of an application that a real server serves, until the end of the block."""
    config = uvicorn.Config(app, port=0, log_config=None)
    server = GracefulServer(config, lambda: end_heartbeats(app))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()
