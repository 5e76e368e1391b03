"""A micro base model and a micro dataset, made once."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from components.core.diffusion.small import SmallConfig, build_small
from components.core.materials.shards import INDEX, SHARDS, Sample, write_shard
from components.core.platform.artifacts import new_artifact
from components.sdxl_finetune.config import Config

CAPTIONS = ["old red brick wall", "scratched copper plate", "oak floor", "grey gravel"]
CATEGORIES = ["brick", "metal", "wood", "pebble"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    build_small(CAPTIONS, SmallConfig.micro()).save(folder)
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "dataset", seed=0)


@pytest.fixture(scope="session")
def other_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "other", seed=1)


def write_dataset(path: Path, seed: int) -> Path:
    """Ten grids of noise for training and two to test."""
    rng = np.random.default_rng(seed)
    with new_artifact(path, "material-grids", producer="test", config=Config()) as folder:
        (folder / SHARDS).mkdir()
        grids = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
        samples = [
            Sample(
                f"{i:08d}",
                grid,
                {
                    "caption": CAPTIONS[i % 4],
                    "category": CATEGORIES[i % 4],
                    "source": "library",
                    "split": "test" if i >= 10 else "train",
                },
            )
            for i, grid in enumerate(grids)
        ]
        lines = write_shard(folder / SHARDS / "00000.tar", samples)
        (folder / INDEX).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
