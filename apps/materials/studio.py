"""Everything behind the demo: takes what is asked, and keeps what was made.

The page, the HTTP API and gradio_client all come through here.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apps.materials.ask import Ask, checked, seeds_of
from apps.materials.champion import Champion, Generator
from apps.materials.scheduler import Job, Sample, Scheduler
from apps.materials.shelf import Shelf
from components.core.errors import NoScorer, UserError
from components.core.generator import ModelVersion, seed_of
from components.core.materials.material import Material
from components.core.rendering.batch import SrgbRenderer
from components.core.rendering.environments import Environment
from components.core.rendering.prefilter import directional_albedo, prefiltered


@dataclass
class Studio:
    """The model, the queue, the shelf and the lights; `start` and `stop` bracket their life."""

    champion: Champion
    scheduler: Scheduler
    shelf: Shelf
    environments: Sequence[Environment]

    @classmethod
    def open(
        cls,
        champion: Champion,
        renderer: SrgbRenderer,
        environments: Sequence[Environment],
        folder: Path,
    ) -> Studio:
        """A studio that keeps its materials below `folder`."""
        shelf = Shelf(folder, renderer, environments)

        def finish(generator: Generator, sample: Sample, material: Material, session: str) -> str:
            light = shelf.environments[sample.light]
            image = renderer.render_srgb(material, light, rotation=0.0, seed=0)
            name = shelf.put(material, session, sample.light, _score(generator, image))
            shelf.keep_rendering(name, sample.light, image)
            return name

        scheduler = Scheduler(lambda: champion.current, finish)
        return cls(champion, scheduler, shelf, environments)

    @property
    def version(self) -> ModelVersion:
        """The model that the next batch uses."""
        return self.champion.current.version

    @property
    def lights(self) -> list[str]:
        """Names of the environments."""
        return [environment.name for environment in self.environments]

    def start(self) -> None:
        """Begin to sample, and to follow the alias."""
        self.scheduler.start()
        self.champion.follow()

    def stop(self) -> None:
        """Finish the batch in hand."""
        self.scheduler.stop()
        self.champion.stop()

    def submit(self, session: str, ask: Ask, address: str = "") -> Job:
        """Queue what is asked; UserError says what cannot be.

        address: of whoever asks, of which only a hash is kept.
        """
        ask = checked(ask, self.lights)
        if ask.compare and not self.champion.current.has_adapter:
            raise UserError(
                f"{self.version} was not trained with reinforcement learning, so there is nothing "
                "to compare it with"
            )
        seeds: list[Any] = list(seeds_of(ask))
        if ask.like is not None:
            from components.core.diffusion.sampler import Variation

            of = seed_of(self.shelf.words(ask.like.material))
            seeds = [Variation(seed, of, ask.like.strength) for seed in seeds]
        adapters = (True, False) if ask.compare else (True,)
        samples = [
            Sample(ask.prompt, seed, ask.tileable, adapted, ask.light)
            for seed in seeds
            for adapted in adapters
        ]
        return self.scheduler.submit(session, samples, _place(address))

    def light_data(self, name: str) -> bytes:
        """An environment as the 3D preview takes it; UserError if there is none of this name."""
        with _one_at_a_time:
            for environment in self.environments:
                if environment.name == name:
                    return _light_data(environment.name, _Key(environment))
        raise UserError("there is no light of this name: choose one of the list")


log = logging.getLogger(__name__)
_one_at_a_time = threading.Lock()
_key = secrets.token_bytes(16)


def _place(address: str) -> str:
    """Stands for an address as long as this process lives."""
    return hashlib.blake2b(address.encode(), key=_key).hexdigest() if address else ""


def _score(generator: Generator, image: np.ndarray[Any, Any]) -> float | None:
    """None for a model without a scorer, and, said once in the log, for one that cannot score."""
    try:
        return float(generator.realism(image[None])[0])
    except NoScorer:
        return None
    except UserError as error:
        _say_once(str(generator.version), str(error))
        return None


@functools.lru_cache(maxsize=64)
def _say_once(model: str, reason: str) -> None:
    log.warning("realism is not measured", extra={"model": model, "reason": reason})


@dataclass(frozen=True)
class _Key:
    """An environment that compares by identity, so that it can be the key of a cache."""

    environment: Environment

    def __hash__(self) -> int:
        return id(self.environment)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.environment is self.environment


@functools.lru_cache(maxsize=32)
def _light_data(name: str, key: _Key) -> bytes:
    """Half floats: mirror (h, w, 3), lobes (5, 32, 64, 3), irradiance (32, 64, 3), table."""
    mirror, lobes, irradiance = prefiltered(key.environment)
    limit = np.float32(65000.0)  # the largest half is 65504
    head = np.array(mirror.shape[:2], "<u4").tobytes()
    parts = (mirror, lobes, irradiance, directional_albedo())
    return head + b"".join(np.minimum(part, limit).astype("<f2").tobytes() for part in parts)
