"""A cache is made once for all runs on the same data, on all machines."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.diffusion.model import TextToImage, load_model
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import TrainingData
from components.sdxl_finetune.shard_file import write_arrays
from components.sdxl_finetune.shared_cache import UNUSED_SECONDS, remove_unused, share_cache
from tests.s3 import archive


@pytest.fixture(scope="module")
def model(base_model: Path) -> TextToImage:
    return load_model(str(base_model))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the shards that were computed."""
    names: list[str] = []

    def write(file: Path, *rest: Any) -> None:
        names.append(file.name)
        write_arrays(file, *rest)

    monkeypatch.setattr("components.sdxl_finetune.cache.write_arrays", write)
    return names


def folder(root: Path, name: str) -> Path:
    """A run's work folder."""
    work = root / f"{name}.work"
    work.mkdir(parents=True)
    return work


def latents(work: Path) -> Any:
    return TrainingData(work / "cache").batch(np.arange(3))[0].numpy()


def test_runs_with_other_training_settings_find_the_cache(
    dataset: Path, model: TextToImage, tmp_path: Path, encoded: list[str]
) -> None:
    first, second, third = (folder(tmp_path, name) for name in ("one", "two", "three"))
    share_cache([dataset], model, Config(learning_rate=1e-3), first, "cache")
    assert len(encoded) == 2
    share_cache([dataset], model, Config(learning_rate=1e-4), second, "cache")
    share_cache([dataset], model, Config(learning_rate=1e-4), second, "cache")  # a second start
    assert len(encoded) == 2
    assert np.array_equal(latents(first), latents(second))
    share_cache([dataset], model, Config(variants_per_grid=2), third, "cache")
    assert len(encoded) == 4
    assert len(TrainingData(first / "cache")) == 10
    assert len(TrainingData(third / "cache")) == 20


def test_another_machine_fetches_it_and_mends_what_was_cut(
    dataset: Path, model: TextToImage, tmp_path: Path, encoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    here, there, late = (folder(tmp_path / name, "run") for name in ("here", "there", "late"))
    with archive(monkeypatch) as store:
        share_cache([dataset], model, Config(), here, "cache")
        made = list(encoded)
        puts = [path.rsplit("/", 1)[1] for method, path in store.seen if method == "PUT"]
        assert puts[-1] == "cache.json"
        share_cache([dataset], model, Config(), there, "cache")
        assert encoded == made
        assert np.array_equal(latents(here), latents(there))
        import boto3

        client = boto3.client("s3")
        listed = client.list_objects_v2(Bucket="realmat")["Contents"]
        cut = next(item["Key"] for item in listed if "latents-" in item["Key"])
        client.put_object(Bucket="realmat", Key=cut, Body=b"half of it")
        share_cache([dataset], model, Config(), late, "cache")
        assert encoded == [*made, cut.rsplit("/", 1)[1]]
        assert np.array_equal(latents(here), latents(late))


def test_caches_that_nobody_uses_are_removed(tmp_path: Path) -> None:
    now = 1_800_000_000.0
    for name, age in (("old", UNUSED_SECONDS + 60), ("new", UNUSED_SECONDS - 60)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shard").write_text("x")
        os.utime(tmp_path / name, (now - age, now - age))
    remove_unused(tmp_path, now)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
