"""Where base materials come from, behind one interface.

The procedural library paints them; folders on this machine or in a storage and public catalogues
(MatSynth, ambientCG, Poly Haven) have them, which by then are all folders (`materials_folders`).
What is known of a material's licence and authors is in its metadata (`worker.KEPT`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES, Material
from components.core.materials.pbr_set import load_pbr_set
from components.core.platform.seeds import derive_seed


class Source(Protocol):
    """Base materials of one origin."""

    @property
    def name(self) -> str:
        """Of the origin, as the index of the data set has it."""
        ...

    @property
    def own(self) -> bool:
        """Whether this project made them: then some are held out, and each is a sample as it is.

        What a user brings is there to be learnt from, and varied so that no two samples are alike.
        """
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...

    def base(self, number: int, size: int) -> Material:
        """Base material `number`, of size × size pixels, the same whenever asked."""
        ...

    def piece(self, number: int, size: int, rng: np.random.Generator) -> Material | None:
        """Another piece of the same material under the same words; None where there is none."""
        ...


@dataclass(frozen=True)
class Library:
    """The procedural library; its materials are spread evenly over the categories.

    pieces: different pieces of one material; 0: without end.
    """

    count: int
    seed: int
    pieces: int
    name: str = "library"
    own: bool = True

    def __len__(self) -> int:
        return self.count

    def base(self, number: int, size: int) -> Material:
        """Painted by the stage's seed and the number."""
        return self._painted(number, size, None)

    def piece(self, number: int, size: int, rng: np.random.Generator) -> Material | None:
        """Painted anew, everything but the words, if pieces have no end."""
        return None if self.pieces else self._painted(number, size, rng)

    def _painted(self, number: int, size: int, rng: np.random.Generator | None) -> Material:
        seed = derive_seed(self.seed, "synthetic_data", "base", str(number))
        category = CATEGORIES[number % len(CATEGORIES)]
        return sample(category, np.random.default_rng(seed), size, self.pieces, rng)


@dataclass(frozen=True)
class Given:
    """Material sets that can be read (`usable_sets`)."""

    folders: Sequence[Path]
    name: str = "materials"
    own: bool = False

    def __len__(self) -> int:
        return len(self.folders)

    def base(self, number: int, size: int) -> Material:
        """Read anew."""
        return load_pbr_set(self.folders[number], size)

    def piece(self, number: int, size: int, rng: np.random.Generator) -> Material | None:
        """There is but the one."""
        return None
