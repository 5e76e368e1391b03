"""A data set of grids whose content does not matter, for measuring time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from components.core.materials.shards import INDEX, SHARDS, Sample, write_shard
from components.core.platform.artifacts import new_artifact
from components.sdxl_finetune.config import Config


def write_grids(path: Path, count: int, size: int) -> Path:
    """A `material-grids` artifact of `count` grids of noise, all for training."""
    rng = np.random.default_rng(0)
    with new_artifact(path, "material-grids", producer="benchmark", config=Config()) as folder:
        (folder / SHARDS).mkdir()
        samples = [
            Sample(
                f"{i:08d}",
                rng.integers(0, 256, (size, size, 3), dtype=np.uint8),
                {
                    "caption": f"material number {i % 64}",
                    "category": "wood",
                    "source": "library",
                    "split": "train",
                },
            )
            for i in range(count)
        ]
        lines = write_shard(folder / SHARDS / "00000.tar", samples)
        (folder / INDEX).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
