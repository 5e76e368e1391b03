"""Which variation of which base material every sample is: a function of its number alone.

So that any process can make any shard, in any order, and a restarted run the missing ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.core.materials.library.catalogue import sample
from components.core.materials.library.variation import variation
from components.core.materials.material import CATEGORIES, Material
from components.core.materials.sources import load_pbr_set
from components.core.platform.seeds import derive_seed
from components.synthetic_data.config import Config


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
        if number < self.from_library:
            source, total, bases = "library", self.from_library, self.config.base_materials
        else:
            source, total, bases = "materials", self.from_given, len(self.given)
            number -= self.from_library
        bases = min(bases, total)
        base = part_of(total, bases, number)
        return Place(source, base, number - before(total, bases, base))

    def renderings(self, number: int) -> int:
        """How many renderings sample `number` has."""
        total, count = self.config.renderings, self.config.variations
        return before(total, count, number + 1) - before(total, count, number)


class Maker:
    """Makes the materials of a plan; keeps the last base, whose variations follow each other."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._last: tuple[Place, Material] | None = None

    def material(self, number: int) -> Material:
        """The material of sample `number`, at map_size × oversampling pixels."""
        place = self.plan.place(number)
        if place.variation > 0 and place.source == "library" and self.plan.config.pieces == 0:
            # The same words, painted anew.
            base = self._painted(place.base, self._rng("piece", number))
        else:
            base = self._base(Place(place.source, place.base, 0))
        # Given materials are varied from the first on, so that no two of them are alike.
        if place.variation == 0 and place.source == "library":
            return base
        return variation(base, self._rng("variation", number))

    def _base(self, place: Place) -> Material:
        if self._last is None or self._last[0] != place:
            self._last = (place, self._made(place))
        return self._last[1]

    def _made(self, place: Place) -> Material:
        config = self.plan.config
        size = config.map_size * config.oversampling
        if place.source == "materials":
            return load_pbr_set(self.plan.given[place.base], size)
        return self._painted(place.base)

    def _painted(self, base: int, painting: np.random.Generator | None = None) -> Material:
        """Base `base` of the library; its words with everything else drawn anew if asked."""
        config = self.plan.config
        size, category = config.map_size * config.oversampling, CATEGORIES[base % len(CATEGORIES)]
        return sample(category, self._rng("base", base), size, config.pieces, painting)

    def _rng(self, what: str, number: int) -> np.random.Generator:
        return np.random.default_rng(
            derive_seed(self.plan.config.seed, "synthetic_data", what, str(number))
        )
