"""Augmentation, the cache of latents, and the order of training."""

import copy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.core.diffusion.loss import v_prediction_loss
from components.core.diffusion.model import TextToImage, load_model
from components.core.errors import UserError
from components.core.materials.shards import GridShards
from components.sdxl_finetune.cache import Encoder
from components.sdxl_finetune.cache_key import cache_key
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import TrainingData, batch_items, build_cache
from components.sdxl_finetune.grids import GridSet, augment
from components.sdxl_finetune.shard_file import write_arrays


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
    latents, embeds, _ = data.batch(np.array([3, 0]))
    shards = GridShards.open([dataset])
    grids = np.stack([shards.grid(3), shards.grid(0)])
    expected = model.encode(torch.from_numpy(grids).float() / 255.0)
    torch.testing.assert_close(latents, expected, atol=1e-5, rtol=1e-4)
    prompts = model.encode_prompts(["pebble, grey gravel", "brick, old red brick wall"])
    torch.testing.assert_close(embeds.tokens_bld, prompts.tokens_bld, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(embeds.pooled_bd, prompts.pooled_bd, atol=1e-5, rtol=1e-4)
    variants, *_ = data.batch(np.array([13, 10]))
    assert not torch.allclose(variants, latents, atol=1e-3)


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def shards_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("cache", "mapped"):
        monkeypatch.setattr(f"components.sdxl_finetune.{module}.ITEMS_PER_SHARD", 4)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the shards as they are written."""
    names: list[str] = []

    def write(file: Path, *rest: Any) -> None:
        names.append(file.name)
        if len(names) == names_allowed[0]:
            raise Killed
        write_arrays(file, *rest)

    monkeypatch.setattr("components.sdxl_finetune.cache.write_arrays", write)
    return names


names_allowed = [0]  # the shard at whose writing the process ends; 0: none


@pytest.mark.usefixtures("shards_of_four")
def test_an_interrupted_cache_goes_on_shard_by_shard(
    dataset: Path, model: TextToImage, tmp_path: Path, encoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config = Config(encode_batch_size=4, variants_per_grid=2)
    build_cache([dataset], model, config, tmp_path / "whole")
    whole = list(encoded)
    assert len(whole) == 1 + 5
    encoded.clear()
    monkeypatch.setattr(f"{__name__}.names_allowed", [4])
    with pytest.raises(Killed):
        build_cache([dataset], model, config, tmp_path / "cache")
    with pytest.raises(UserError, match="no complete cache"):
        TrainingData(tmp_path / "cache")
    encoded.clear()
    monkeypatch.setattr(f"{__name__}.names_allowed", [0])
    build_cache([dataset], model, config, tmp_path / "cache")
    assert encoded == whole[3:]
    for name in (*whole, "prompts.json", "cache.json"):
        assert (tmp_path / "cache" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    encoded.clear()
    build_cache([dataset], model, config, tmp_path / "cache")
    assert encoded == []


@pytest.mark.long
def test_torchrun_starts_a_process_for_each_gpu(
    dataset: Path, base_model: Path, model: TextToImage, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As on a machine with two GPUs, but that each process then computes on the CPU."""
    config = Config(encode_batch_size=4, base_model=str(base_model), device="cpu")
    one, two = tmp_path / "one", tmp_path / "two"
    build_cache([dataset], model, config, one)
    monkeypatch.setattr("components.sdxl_finetune.encode.compute_device", lambda wanted: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(Encoder, "write", None)  # not here
    build_cache([dataset], model, config, two)
    names = {path.name for path in one.iterdir()}
    assert len(names) == 2 + 4  # shards, key, prompts, grids and index
    assert {path.name for path in two.iterdir()} == names  # nothing is left of the job
    for name in names:
        assert (two / name).read_bytes() == (one / name).read_bytes()


def test_another_model_or_data_set_never_meets_an_old_cache(
    dataset: Path, other_dataset: Path, model: TextToImage
) -> None:
    config = Config()
    key = cache_key([dataset], model, config)
    assert cache_key([dataset], load_model(str(model_folder(model))), config) == key
    assert cache_key([dataset], model, config.model_copy(update={"learning_rate": 1.0})) == key
    keys = {key, cache_key([other_dataset], model, config)}
    for name in ("seed", "variants_per_grid", "rolls"):
        changed = config.model_copy(update={name: not getattr(config, name) or 7})
        keys.add(cache_key([dataset], model, changed))
    for part in ("vae", "text_encoder", "text_encoder_2"):
        other = replace(model, **{part: copy.deepcopy(getattr(model, part))})
        weight = list(getattr(other, part).parameters())[-1]
        with torch.no_grad():
            weight.flatten()[-1] += 1e-3
        keys.add(cache_key([dataset], other, config))
    assert len(keys) == 1 + 1 + 3 + 3


def model_folder(model: TextToImage) -> Path:
    return Path(model.unet.config["_name_or_path"])


def test_a_cache_of_another_model_is_replaced(
    dataset: Path, model: TextToImage, tmp_path: Path
) -> None:
    build_cache([dataset], model, Config(), tmp_path / "cache")
    before, *_ = TrainingData(tmp_path / "cache").batch(np.arange(3))
    other = replace(model, vae=copy.deepcopy(model.vae))
    with torch.no_grad():
        for weight in other.vae.encoder.parameters():
            weight.mul_(1.1)
    build_cache([dataset], other, Config(), tmp_path / "cache")
    after, *_ = TrainingData(tmp_path / "cache").batch(np.arange(3))
    assert not torch.allclose(before, after)


def test_cached_and_uncached_conditioning_are_identical(
    dataset: Path, model: TextToImage, tmp_path: Path
) -> None:
    """The UNet is given in training, from the cache, what sampling gives it for the same prompt."""
    given: dict[str, Any] = {}

    class Spy(torch.nn.Linear):
        def forward(self, x: torch.Tensor, t: torch.Tensor, **rest: Any) -> tuple[torch.Tensor]:
            given.update(rest)
            return (x,)

    build_cache([dataset], model, Config(), tmp_path / "cache")
    data, items = TrainingData(tmp_path / "cache"), np.array([2, 1])
    latents, embeds, ids = data.batch(items)
    v_prediction_loss(
        Spy(1, 1), model.schedule, latents, embeds, torch.randn_like(latents),
        torch.tensor([5, 999]), model.image_size, ids,
    )  # fmt: skip
    prompts = ["wood, oak floor", "metal, scratched copper plate"]
    uncached = model.conditioning(model.encode_prompts(prompts))
    size = given["added_cond_kwargs"]["time_ids"]
    assert torch.equal(size, uncached["added_cond_kwargs"]["time_ids"])
    assert torch.equal(size, data.time_ids(items))
    assert size.tolist() == [[32, 32, 0, 0, 32, 32]] * 2
    for ours, theirs in (
        (given["encoder_hidden_states"], uncached["encoder_hidden_states"]),
        (given["added_cond_kwargs"]["text_embeds"], uncached["added_cond_kwargs"]["text_embeds"]),
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-7]), "is truncated"),
        (lambda file: file.write_bytes(file.read_bytes()[:20]), "truncated or damaged"),
        (lambda file: file.write_bytes(b""), "truncated or damaged"),
    ],
)
def test_a_damaged_cache_is_told_and_mended(
    dataset: Path, model: TextToImage, tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    folder = tmp_path / "cache"
    build_cache([dataset], model, Config(), folder)
    whole = (folder / "latents-00000.safetensors").read_bytes()
    damage(folder / "latents-00000.safetensors")
    with pytest.raises(UserError, match=told) as error:
        TrainingData(folder)
    assert "\n" not in str(error.value)
    (folder / "cache.json").unlink()  # as the sentence says
    build_cache([dataset], model, Config(), folder)
    assert (folder / "latents-00000.safetensors").read_bytes() == whole


def test_grids_of_another_size_are_a_user_error(dataset: Path) -> None:
    with pytest.raises(UserError, match="map size to 64"):
        GridSet.open([dataset], 128)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:5000]), "is truncated"),
    ],
)
def test_damaged_shards_of_the_data_set_are_told_before_anything_is_computed(
    dataset: Path, tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    shutil.copytree(dataset, tmp_path / "dataset")
    damage(tmp_path / "dataset" / "shards" / "00000.tar")
    with pytest.raises(UserError, match=told):
        GridSet.open([tmp_path / "dataset"], 32)
