"""Which variation of which base material every sample is: a function of its number alone.

So that any process can make any shard, in any order, and a restarted run the missing ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from components.core.materials.library.variation import variation
from components.core.materials.material import Material
from components.core.platform.seeds import derive_seed
from components.synthetic_data.config import Config
from components.synthetic_data.sources import Given, Library, Source


def before(total: int, parts: int, index: int) -> int:
    """How many of `total` fall to the parts before `index`, as evenly as whole numbers allow."""
    return total * index // parts


def part_of(total: int, parts: int, number: int) -> int:
    """The part that number `number` of `total` falls to."""
    return ((number + 1) * parts - 1) // total


@dataclass(frozen=True)
class Place:
    """Base material `base` of a source, and which of its variations; 0 is the base itself."""

    source: str
    base: int
    variation: int


@dataclass(frozen=True)
class Plan:
    """The samples of a data set: the library's first, then those of given material sets."""

    config: Config
    given: Sequence[Path]

    @cached_property
    def sources(self) -> dict[str, tuple[Source, int]]:
        """Each source by its name, and how many samples show its materials, in their order."""
        config = self.config
        library = Library(config.base_materials, config.seed, config.pieces)
        shares: list[tuple[Source, int]] = [
            (library, self.from_library), (Given(self.given), self.from_given)
        ]  # fmt: skip
        return {source.name: (source, total) for source, total in shares}

    @property
    def from_given(self) -> int:
        """How many samples show given materials."""
        return round(self.config.variations * self.config.material_share) if self.given else 0

    @property
    def from_library(self) -> int:
        """How many samples show library materials."""
        return self.config.variations - self.from_given

    @property
    def own_shards(self) -> range:
        """The shards that this task makes."""
        shards, parts, part = self.config.shards, self.config.parts, self.config.part
        return range(before(shards, parts, part), before(shards, parts, part + 1))

    def numbers(self, shard: int) -> range:
        """The numbers of the samples of a shard."""
        size = self.config.samples_per_shard
        return range(shard * size, min(self.config.variations, (shard + 1) * size))

    def shard_of(self, number: int) -> int:
        """The shard that sample `number` is in."""
        return number // self.config.samples_per_shard

    def place(self, number: int) -> Place:
        """What sample `number` shows. Samples of one base follow each other."""
        for source, total in self.sources.values():
            if number < total:
                bases = min(len(source), total)
                base = part_of(total, bases, number)
                return Place(source.name, base, number - before(total, bases, base))
            number -= total
        raise ValueError(f"there is no sample {number} after the last one")

    def source(self, place: Place) -> Source:
        """What has the place's base material."""
        return self.sources[place.source][0]

    def renderings(self, number: int) -> int:
        """How many renderings sample `number` has."""
        total, count = self.config.renderings, self.config.variations
        return before(total, count, number + 1) - before(total, count, number)


class Maker:
    """Makes the materials of a plan; keeps the last base, whose variations follow each other."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._last: tuple[tuple[str, int], Material] | None = None

    def material(self, number: int) -> Material:
        """The material of sample `number`, at map_size × oversampling pixels."""
        place = self.plan.place(number)
        source = self.plan.source(place)
        base: Material | None = None
        if place.variation > 0:
            base = source.piece(place.base, self._size, self._rng("piece", number))
        if base is None:
            base = self._base(place)
        if place.variation == 0 and source.own:
            return base
        return variation(base, self._rng("variation", number))

    @property
    def _size(self) -> int:
        return self.plan.config.map_size * self.plan.config.oversampling

    def _base(self, place: Place) -> Material:
        key = place.source, place.base
        if self._last is None or self._last[0] != key:
            self._last = key, self.plan.source(place).base(place.base, self._size)
        return self._last[1]

    def _rng(self, what: str, number: int) -> np.random.Generator:
        return np.random.default_rng(
            derive_seed(self.plan.config.seed, "synthetic_data", what, str(number))
        )
