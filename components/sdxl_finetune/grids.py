"""The grids that are trained on, and their augmented versions.

All maps of a grid move together, each inside its own quadrant. Where they are cropped, SDXL's crop
conditioning says so; else it is (0, 0) in truth, as it is when grids are sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.core.errors import UserError
from components.core.materials.grid import unpack_uint8
from components.core.materials.prompts import prompt_of
from components.core.materials.seam import tiles
from components.core.materials.shards import INDEX, SHARDS, GridShards
from components.sdxl_finetune.config import Config

Grid = NDArray[np.uint8]  # (2R, 2R, 3)
Corner = tuple[int, int]  # top and left edge of a crop, in pixels of the enlarged picture


@dataclass(frozen=True)
class GridSet:
    """One split of a `material-grids` artifact."""

    grids: GridShards
    rows: list[int]  # which of them are in the split
    prompts: list[str]  # one for each row
    image_size: int

    @classmethod
    def open(cls, dataset: Sequence[Path], image_size: int) -> GridSet:
        """Open the training split; its grids must have the model's size.

        UserError if a shard is missing or truncated, before anything is computed.
        """
        opened = cls.select(dataset, image_size, "train")
        _check_shards(opened.grids)
        if not len(opened):
            raise UserError(f"{dataset[0] / INDEX} has no entry with the split 'train'")
        opened.grid(0)
        return opened

    @classmethod
    def select(cls, dataset: Sequence[Path], image_size: int, split: str, most: int = 0) -> GridSet:
        """A split by the index alone, evenly thinned out to `most` grids if that is not 0."""
        grids = GridShards.open(dataset)
        entries = grids.entries
        rows = [row for row, entry in enumerate(entries) if entry["split"] == split]
        if most and len(rows) > most:
            chosen = np.linspace(0, len(rows) - 1, most).round().astype(int)
            rows = [rows[index] for index in chosen]
        prompts = [prompt_of(entries[r]["category"], entries[r]["caption"]) for r in rows]
        return cls(grids, rows, prompts, image_size)

    def __len__(self) -> int:
        return len(self.rows)

    def grid(self, index: int) -> Grid:
        """Grid number `index` of the split; UserError if it has another size."""
        grid, size = self.grids.grid(self.rows[index]), self.image_size
        if grid.shape != (size, size, 3):
            entry = self.grids.entries[self.rows[index]]
            raise UserError(
                f"{entry['folder']}: sample {entry['key']} is a grid of shape {grid.shape}, but "
                f"the model needs ({size}, {size}, 3): set synthetic_data's map size to {size // 2}"
            )
        return grid

    def variant(self, item: int, config: Config) -> tuple[Grid, Corner]:
        """Item number `item`, and where it was cropped.

        All grids as they are, then all of them augmented, and so on.
        """
        variant, index = divmod(item, len(self))
        grid = self.grid(index)
        if variant == 0:
            return grid, (0, 0)
        rng = np.random.default_rng([config.seed, item])
        source = self.grids.entries[self.rows[index]]["source"]
        # Photographed sets need not tile; the library's materials do.
        seamless = source == "library" or not config.rolls or tiles(unpack_uint8(grid))
        return crop(augment(grid, rng, config, seamless=seamless), rng, config)

    def names(self) -> list[tuple[str, str, str]]:
        """Of each grid the artifact's folder, the shard and the sample's key, for people."""
        entries = (self.grids.entries[row] for row in self.rows)
        return [(Path(e["folder"]).name, e["shard"], e["key"]) for e in entries]


def _check_shards(grids: GridShards) -> None:
    """UserError unless every shard is there and as long as the index says."""
    ends: dict[Path, int] = {}
    for entry in grids.entries:
        shard = Path(entry["folder"], SHARDS, entry["shard"])
        end = max(offset + length for offset, length in entry["files"].values())
        ends[shard] = max(ends.get(shard, 0), end)
    for shard, end in ends.items():
        if not shard.is_file():
            raise UserError(f"{shard} is missing, but {INDEX} names it; run synthetic_data again")
        if (size := shard.stat().st_size) < end:
            raise UserError(
                f"{shard} is truncated: it has {size} bytes, but by {INDEX} at least {end}; run "
                "synthetic_data again"
            )


def augment(grid: Grid, rng: np.random.Generator, config: Config, *, seamless: bool = True) -> Grid:
    """Shift, mirror and turn the four maps of a grid in the same way, each in its quadrant.

    seamless: the maps tile; others are not shifted, which would bring their edges inside.
    """
    side = grid.shape[0] // 2
    shift = tuple(rng.integers(0, side, size=2)) if config.rolls else (0, 0)
    shift = shift if seamless else (0, 0)
    mirrored = config.flips and rng.random() < 0.5
    turns = int(rng.integers(0, 4)) if config.quarter_turns else 0
    result = np.empty_like(grid)
    for top in (0, side):
        for left in (0, side):
            quadrant = grid[top : top + side, left : left + side]
            quadrant = np.roll(quadrant, shift, axis=(0, 1))
            quadrant = quadrant[:, ::-1] if mirrored else quadrant
            result[top : top + side, left : left + side] = np.rot90(quadrant, turns)
    return result


def crop(grid: Grid, rng: np.random.Generator, config: Config) -> tuple[Grid, Corner]:
    """Enlarge each map by a factor from 1 to `enlargement` and cut the same part out of all.

    Nothing is drawn where there are no crops, so that other augmentation stays what it was.
    """
    if config.enlargement == 1.0:
        return grid, (0, 0)
    side = grid.shape[0] // 2
    enlarged = round(side * rng.uniform(1.0, config.enlargement))
    top, left = (int(edge) for edge in rng.integers(0, enlarged - side + 1, size=2))
    result = np.empty_like(grid)
    for row in (0, side):
        for column in (0, side):
            quadrant = Image.fromarray(grid[row : row + side, column : column + side])
            wide = np.asarray(quadrant.resize((enlarged, enlarged), Image.Resampling.BICUBIC))
            cut = wide[top : top + side, left : left + side]
            result[row : row + side, column : column + side] = cut
    return result, (top, left)
