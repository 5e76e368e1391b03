"""The grids that are trained on, and their augmented versions.

All maps of a grid move together, each inside its own quadrant, and nothing is cropped, so that
SDXL's crop conditioning is (0, 0) in truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.core.errors import UserError
from components.core.materials.prompts import prompt_of
from components.core.materials.shards import INDEX, SHARDS, GridShards
from components.sdxl_finetune.config import Config

Grid = NDArray[np.uint8]  # (2R, 2R, 3)


@dataclass(frozen=True)
class GridSet:
    """The training split of a `material-grids` artifact."""

    grids: GridShards
    rows: list[int]  # which of them are for training
    prompts: list[str]  # one for each row
    image_size: int

    @classmethod
    def open(cls, dataset: Sequence[Path], image_size: int) -> GridSet:
        """Open the artifact's folders; its grids must have the model's size.

        UserError if a shard is missing or truncated, before anything is computed.
        """
        grids = GridShards.open(dataset)
        entries = grids.entries
        _check_shards(grids)
        rows = [row for row, entry in enumerate(entries) if entry["split"] == "train"]
        if not rows:
            raise UserError(f"{dataset[0] / INDEX} has no entry with the split 'train'")
        prompts = [prompt_of(entries[r]["category"], entries[r]["caption"]) for r in rows]
        opened = cls(grids, rows, prompts, image_size)
        opened.grid(0)
        return opened

    def __len__(self) -> int:
        return len(self.rows)

    def grid(self, index: int) -> Grid:
        """Grid number `index` of the training split; UserError if it has another size."""
        grid, size = self.grids.grid(self.rows[index]), self.image_size
        if grid.shape != (size, size, 3):
            entry = self.grids.entries[self.rows[index]]
            raise UserError(
                f"{entry['folder']}: sample {entry['key']} is a grid of shape {grid.shape}, but "
                f"the model needs ({size}, {size}, 3): set synthetic_data's map size to {size // 2}"
            )
        return grid

    def variant(self, item: int, config: Config) -> Grid:
        """Item number `item`: all grids as they are, then all of them augmented, and so on."""
        variant, index = divmod(item, len(self))
        grid = self.grid(index)
        if variant == 0:
            return grid
        return augment(grid, np.random.default_rng([config.seed, item]), config)


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


def augment(grid: Grid, rng: np.random.Generator, config: Config) -> Grid:
    """Shift, mirror and turn the four maps of a grid in the same way, each in its quadrant."""
    side = grid.shape[0] // 2
    shift = tuple(rng.integers(0, side, size=2)) if config.rolls else (0, 0)
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
