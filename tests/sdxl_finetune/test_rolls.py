"""Grids are shifted around their edges only where these meet."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.core.materials.grid import pack_uint8
from components.core.materials.library.catalogue import sample
from components.core.materials.material import Material
from components.core.materials.shards import INDEX, SHARDS, Sample, write_shard
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.grids import GridSet

CONFIG = Config(flips=False, quarter_turns=False)


def written(folder: Path, material: Material, source: str) -> GridSet:
    (folder / SHARDS).mkdir(parents=True)
    words = {"caption": "oak", "category": "wood", "source": source, "split": "train"}
    samples = [Sample("00000000", pack_uint8(material), words)]
    lines = write_shard(folder / SHARDS / "00000.tar", samples)
    (folder / INDEX).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return GridSet.open([folder], 2 * material.size[0])


@pytest.mark.parametrize("tiling", [True, False])
def test_given_grids_are_shifted_only_if_they_tile(tmp_path: Path, tiling: bool) -> None:
    tile = sample("wood", np.random.default_rng(0), 64)
    slope = np.linspace(0, 1, 64, dtype=np.float32)[:, None].repeat(64, axis=1)
    material = tile if tiling else replace(tile, height=slope)
    given = written(tmp_path, material, "materials")
    grid, _ = given.variant(1, CONFIG)
    assert np.array_equal(grid, given.grid(0)) != tiling
    assert np.array_equal(np.sort(grid, axis=None), np.sort(given.grid(0), axis=None))


def test_the_librarys_grids_are_always_shifted(tmp_path: Path) -> None:
    tile = sample("wood", np.random.default_rng(0), 64)
    grids = written(tmp_path, tile, "library")
    assert not np.array_equal(grids.variant(1, CONFIG)[0], grids.grid(0))
