"""Augmentation, the cache of latents, and the order of training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from components.core.diffusion.model import TextToImage, load_model
from components.core.errors import UserError
from components.core.materials.shards import GridShards
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import (
    GridSet,
    TrainingData,
    augment,
    batch_items,
    build_cache,
)


def quadrants(grid: np.ndarray) -> list[np.ndarray]:
    side = grid.shape[0] // 2
    return [grid[top : top + side, left : left + side] for top in (0, side) for left in (0, side)]


def test_all_maps_move_together_and_stay_in_their_quadrant() -> None:
    """Each quadrant holds the same pattern plus its own offset, so both can be checked."""
    side = 8
    pattern = np.arange(side * side, dtype=np.uint8).reshape(side, side, 1).repeat(3, axis=2)
    top = np.concatenate([pattern, pattern + 64], axis=1)
    grid = np.concatenate([top, np.concatenate([pattern + 128, pattern + 192], axis=1)])
    moved = 0
    for seed in range(20):
        parts = quadrants(augment(grid, np.random.default_rng(seed), Config()))
        for offset, part in zip((0, 64, 128, 192), parts, strict=True):
            assert np.array_equal(part - np.uint8(offset), parts[0])
            assert np.array_equal(np.sort(part, axis=None), np.sort(pattern + offset, axis=None))
        moved += not np.array_equal(parts[0], pattern)
    assert moved >= 19


def test_augmentation_can_be_switched_off() -> None:
    grid = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    still = Config(rolls=False, flips=False, quarter_turns=False)
    assert np.array_equal(augment(grid, np.random.default_rng(1), still), grid)


def test_every_item_is_seen_once_an_epoch_in_a_new_order() -> None:
    seen = np.concatenate([batch_items(3, step, 4, 10) for step in range(5)])
    first, second = seen[:10], seen[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert not np.array_equal(first, second)
    assert np.array_equal(batch_items(3, 2, 4, 10), seen[8:12])


@pytest.fixture(scope="module")
def model(base_model: Path) -> TextToImage:
    return load_model(str(base_model))


def test_cache_holds_what_the_model_computes(
    dataset: Path, model: TextToImage, tmp_path: Path
) -> None:
    config = Config(variants_per_grid=2, encode_batch_size=4)
    build_cache([dataset], model, config, tmp_path / "cache")
    data = TrainingData(tmp_path / "cache")
    assert len(data) == 20  # ten grids for training, the two of the test split are left out
    latents, embeds = data.batch(np.array([3, 0]), "cpu")
    shards = GridShards.open([dataset])
    grids = np.stack([shards.grid(3), shards.grid(0)])
    expected = model.encode(torch.from_numpy(grids).float() / 255.0)
    torch.testing.assert_close(latents, expected, atol=1e-5, rtol=1e-4)
    prompts = model.encode_prompts(["pebble, grey gravel", "brick, old red brick wall"])
    torch.testing.assert_close(embeds.tokens_bld, prompts.tokens_bld, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(embeds.pooled_bd, prompts.pooled_bd, atol=1e-5, rtol=1e-4)
    variants, _ = data.batch(np.array([13, 10]), "cpu")
    assert not torch.allclose(variants, latents, atol=1e-3)


def test_cache_is_computed_once_and_whole(
    dataset: Path, model: TextToImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("components.sdxl_finetune.data._write_latents", killed)
        with pytest.raises(KeyboardInterrupt):
            build_cache([dataset], model, Config(), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    build_cache([dataset], model, Config(), tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr("components.sdxl_finetune.data._write_latents", killed)
        build_cache([dataset], model, Config(), tmp_path / "cache")


def test_grids_of_another_size_are_a_user_error(dataset: Path) -> None:
    with pytest.raises(UserError, match="map size to 64"):
        GridSet.open([dataset], 128)
