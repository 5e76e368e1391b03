"""What the cache says of its items: crops, names, and test grids that cannot be read."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from components.core.diffusion.loss import v_prediction_loss
from components.core.diffusion.model import TextToImage, load_model
from components.core.errors import UserError
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import TrainingData, build_cache
from components.sdxl_finetune.grids import GridSet
from components.sdxl_finetune.heldout import build_heldout
from tests.sdxl_finetune.test_data import quadrants


@pytest.fixture(scope="module")
def model(base_model: Path) -> TextToImage:
    return load_model(str(base_model))


def test_crops_are_read_back_as_their_conditioning(
    dataset: Path, model: TextToImage, tmp_path: Path
) -> None:
    """What the UNet is told of a cached crop finds that crop in the enlarged map."""
    given: dict[str, Any] = {}

    class Spy(torch.nn.Linear):
        def forward(self, x: torch.Tensor, t: torch.Tensor, **rest: Any) -> tuple[torch.Tensor]:
            given.update(rest)
            return (x,)

    config = Config(
        variants_per_grid=2, enlargement=2.0, rolls=False, flips=False, quarter_turns=False
    )
    build_cache([dataset], model, config, tmp_path / "cache")
    data, items = TrainingData(tmp_path / "cache"), np.arange(10, 20)
    latents, embeds, ids = data.batch(items)
    v_prediction_loss(
        Spy(1, 1), model.schedule, latents, embeds, torch.randn_like(latents),
        torch.full((10,), 5), model.image_size, ids,
    )  # fmt: skip
    size = given["added_cond_kwargs"]["time_ids"]
    assert size[:, [0, 1, 4, 5]].eq(32).all()
    corners = size[:, 2:4].int().tolist()
    assert len({tuple(corner) for corner in corners}) > 5
    assert all(0 <= edge <= 16 for corner in corners for edge in corner)
    grids = GridSet.open([dataset], model.image_size)
    for item, (top, left) in zip(items, corners, strict=True):
        grid, corner = grids.variant(int(item), config)
        assert corner == (top, left)
        whole, found = quadrants(grids.grid(int(item) - 10))[3], quadrants(grid)[3]
        wide = [
            np.asarray(Image.fromarray(whole).resize((side, side), Image.Resampling.BICUBIC))
            for side in range(16 + max(top, left), 33)
        ]
        assert any(np.array_equal(w[top : top + 16, left : left + 16], found) for w in wide)
        encoded = model.encode(torch.from_numpy(grid)[None].float() / 255.0)
        torch.testing.assert_close(latents[int(item) - 10][None], encoded, atol=1e-4, rtol=1e-3)


def test_items_have_names(dataset: Path, model: TextToImage, tmp_path: Path) -> None:
    build_cache([dataset], model, Config(variants_per_grid=2), tmp_path / "cache")
    name_of = TrainingData(tmp_path / "cache").name_of
    assert name_of(3) == "00000003 of dataset/00000.tar 'pebble, grey gravel'"
    assert name_of(14) == (
        "00000004 of dataset/00000.tar 'brick, old red brick wall', augmented version 1"
    )


def test_a_missing_shard_of_the_test_grids_is_named_though_the_cache_is_warm(
    dataset: Path, model: TextToImage, tmp_path: Path
) -> None:
    copy_ = tmp_path / "dataset"
    shutil.copytree(dataset, copy_)
    build_cache([copy_], model, Config(), tmp_path / "cache")
    shard = copy_ / "shards" / "00000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    build_cache([copy_], model, Config(), tmp_path / "cache")
    with pytest.raises(UserError, match=r"00000.tar: sample 000000(10|11) is damaged"):
        build_heldout([copy_], model, Config(), tmp_path / "heldout")
    shard.unlink()
    with pytest.raises(UserError, match=r"00000.tar is missing, but .* names it"):
        build_heldout([copy_], model, Config(), tmp_path / "heldout")
    assert not (tmp_path / "heldout").exists()


def test_test_grids_of_another_size_are_named(
    dataset: Path, model: TextToImage, tmp_path: Path
) -> None:
    larger = replace(model, unet=copy.deepcopy(model.unet))
    larger.unet.register_to_config(sample_size=2 * model.latent_shape[1])
    with pytest.raises(UserError, match=r"sample 00000010 is a grid of shape \(32, 32, 3\)"):
        build_heldout([dataset], larger, Config(), tmp_path / "heldout")
