"""A cache that stays in the store: each process reads its own rows of each step, and no others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from components.core.diffusion.model import TextToImage, load_model
from components.core.errors import Unreachable, UserError
from components.core.platform.archive import ARCHIVE
from components.sdxl_finetune.batch import Batches
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import TrainingData, batch_items
from components.sdxl_finetune.mapped import MappedRows
from components.sdxl_finetune.samples import preview_prompts
from components.sdxl_finetune.shard_file import write_arrays
from components.sdxl_finetune.shared_cache import share_cache
from components.sdxl_finetune.stage import run
from components.sdxl_finetune.streamed import THREADS, StreamedRows
from tests.s3 import Store, archive
from tests.sdxl_finetune.recorder import Recorder
from tests.sdxl_finetune.test_shared_cache import folder
from tests.sdxl_finetune.test_training import UNET, tiny

IN_A_SHARD = 4
TWO_RANKS = Config(batch_size=2, micro_batch_size=1, processes=2, stream_cache=True)


@pytest.fixture(scope="module")
def model(base_model: Path) -> TextToImage:
    return load_model(str(base_model))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with archive(monkeypatch) as served:
        yield served
        served.refuse = lambda method, path: False


@pytest.fixture
def caches(
    dataset: Path, model: TextToImage, tmp_path: Path, store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Path, Path]:  # fmt: skip
    """The machine's cache that encoded, and that of one which streams, of three shards."""
    for module in ("cache", "mapped", "streamed"):
        monkeypatch.setattr(f"components.sdxl_finetune.{module}.ITEMS_PER_SHARD", IN_A_SHARD)
    here, there = folder(tmp_path / "here", "run"), folder(tmp_path / "there", "run")
    share_cache([dataset], model, TWO_RANKS, here, "cache")
    assert not (here / "cache" / "address.txt").exists()  # its own disk has it
    store.parts.clear()
    share_cache([dataset], model, TWO_RANKS, there, "cache")
    assert not list((there / "cache").glob("*.safetensors"))
    return here / "cache", there / "cache"


def asked(store: Store, kind: str) -> list[tuple[str, int, int]]:
    """Shard, first and last byte of what was read of its kind."""
    found = []
    for path, wanted in store.parts:
        if (name := path.rsplit("/", 1)[1]).startswith(kind):
            first, last = wanted.removeprefix("bytes=").split("-")
            found.append((name, int(first), int(last)))
    return found


def rows_of(rank: int, steps: int) -> list[int]:
    return [int(batch_items(0, step, 2, 10)[rank]) for step in range(steps)]


def key_of(kind: str) -> str:
    listed = boto3.client("s3").list_objects_v2(Bucket="realmat")["Contents"]
    return next(str(item["Key"]) for item in listed if f"/{kind}" in item["Key"])


def starts(cache: Path) -> dict[str, int]:
    """Where the latents begin in each shard, by safetensors' own header."""
    found = {}
    for file in sorted(cache.glob("latents-*")):
        content = file.read_bytes()
        length = int.from_bytes(content[:8], "little")
        offsets = json.loads(content[8 : 8 + length])["latents"]["data_offsets"]
        found[file.name] = 8 + length + offsets[0]
    return found


def test_two_ranks_read_every_row_of_an_epoch_once_and_nothing_else(
    caches: tuple[Path, Path], model: TextToImage, store: Store
) -> None:
    mapped, data = TrainingData(caches[0]), [TrainingData(caches[1]) for _ in range(2)]
    shape = model.latent_shape
    row = 4 * int(np.prod(shape))
    start = starts(caches[0])
    for name, first, last in asked(store, "latents"):  # to open it
        count = 4 if name != "latents-00002.safetensors" else 2
        assert last < start[name] or first >= start[name] + count * row
    store.parts.clear()
    for rank in range(2):
        args: dict[str, Any] = {"latent_shape": shape, "train_steps": 1000}
        streamed = Batches(TWO_RANKS, data[rank], rank, **args)
        expected = Batches(TWO_RANKS, mapped, rank, **args)
        for step in range(5):
            [ours], [theirs] = streamed(step).parts, expected(step).parts
            for name in ("latents_bchw", "time_ids_b6", "noise_bchw", "t_b", "drop_b"):
                assert torch.equal(getattr(ours, name), getattr(theirs, name))
            assert torch.equal(ours.embeds.tokens_bld, theirs.embeds.tokens_bld)
            assert torch.equal(ours.embeds.pooled_bd, theirs.embeds.pooled_bd)
    found = [
        (int(name[8:13]) * IN_A_SHARD + (first - start[name]) // row, last + 1 - first)
        for name, first, last in asked(store, "latents")
    ]
    assert found == [(item, row) for rank in range(2) for item in rows_of(rank, 5)]
    assert sorted(item for item, _ in found) == list(range(10))
    # Embeddings: each rank reads tokens and pooled of a prompt once, for all of its items.
    of_ranks = [{item % 4 for item in rows_of(rank, 5)} for rank in range(2)]
    assert len(asked(store, "embeds")) == 2 * sum(map(len, of_ranks))


def test_what_is_told_of_items_is_the_same(caches: tuple[Path, Path]) -> None:
    mapped, streamed = (TrainingData(cache) for cache in caches)
    assert len(streamed) == len(mapped) == 10
    assert [streamed.name_of(i) for i in range(10)] == [mapped.name_of(i) for i in range(10)]
    prompts = [preview_prompts(TWO_RANKS, cache) for cache in caches]
    assert prompts[0] == prompts[1]


def test_embeddings_are_kept_within_a_bound(caches: tuple[Path, Path], store: Store) -> None:
    """Of two prompts here; another takes the place of the one that was not used for longest."""
    index = json.loads((caches[1] / "cache.json").read_text())
    names, key, uri = index["shards"], index["key"], (caches[1] / "address.txt").read_text()
    mapped, item = MappedRows(caches[0], names, key), np.array([0])
    _, one = mapped.read(item, np.array([0]))
    size = one.tokens_bld.nbytes + one.pooled_bd.nbytes
    streamed = StreamedRows(uri, names, key, kept_bytes=2 * size)
    steps = ([0, 1], 2), ([0], 0), ([2], 1), ([0], 0), ([1, 1], 1), ([0, 1, 2, 3], 2), ([3], 0)
    for prompts, new in steps:
        store.parts.clear()
        (_, ours), (_, theirs) = (rows.read(item, np.array(prompts)) for rows in (streamed, mapped))
        assert torch.equal(ours.tokens_bld, theirs.tokens_bld)
        assert torch.equal(ours.pooled_bd, theirs.pooled_bd)
        assert len(asked(store, "embeds")) == 2 * new


def test_an_outage_is_a_pause(
    caches: tuple[Path, Path], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So long that the requests, made at once, use up what boto3 lets all of them try again."""
    backoff = "botocore.retries.standard.ExponentialBackoff.delay_amount"
    monkeypatch.setattr(backoff, lambda *_: 0.02)
    items = np.arange(10)
    expected, streamed = TrainingData(caches[0]).batch(items), TrainingData(caches[1])
    store.refuse = lambda method, path: store.refused < THREADS + 100
    started = time.monotonic()
    latents, embeds, ids = streamed.batch(items)
    assert store.refused == THREADS + 100
    assert time.monotonic() - started > 1.0  # our own wait
    assert torch.equal(latents, expected[0])
    assert torch.equal(embeds.tokens_bld, expected[1].tokens_bld)
    assert torch.equal(ids, expected[2])


def test_a_store_that_stays_away_is_named(caches: tuple[Path, Path], store: Store) -> None:
    data = TrainingData(caches[1])
    store.refuse = lambda method, path: "latents-" in path
    with pytest.raises(Unreachable, match=r"latents-0000\d.safetensors cannot be read for now"):
        data.batch(np.array([0]))
    store.refuse = lambda method, path: True
    with pytest.raises(UserError, match=r"s3://realmat/artifacts/.* cannot be listed"):
        TrainingData(caches[1])


@pytest.mark.parametrize("kind", ["latents-00001", "embeds-00000"])
def test_a_shard_that_cannot_be_used_is_named(
    caches: tuple[Path, Path], kind: str, tmp_path: Path
) -> None:
    client, key = boto3.client("s3"), key_of(kind)
    whole = client.get_object(Bucket="realmat", Key=key)["Body"].read()
    other = tmp_path / "other.safetensors"
    write_arrays(other, {"latents": np.zeros((4, 1), np.float32)}, "another")
    said = f"{kind}.safetensors is truncated"
    for content, expected in (
        (whole[:-1], f"{said} .{len(whole) - 1} of {len(whole)} bytes."),
        (whole[:100], f"{said} or damaged"), (b"", f"{said} or damaged"),
        (other.read_bytes(), f"{kind}.safetensors belongs to another cache"),
    ):  # fmt: skip
        client.put_object(Bucket="realmat", Key=key, Body=content)
        with pytest.raises(UserError, match=expected + ": remove s3://.*/cache.json and start"):
            TrainingData(caches[1])
    client.delete_object(Bucket="realmat", Key=key)
    with pytest.raises(UserError, match=f"{kind}.safetensors is missing: remove s3://"):
        TrainingData(caches[1])


def test_a_shard_that_is_replaced_meanwhile_is_named(caches: tuple[Path, Path]) -> None:
    data, key = TrainingData(caches[1]), key_of("latents-00000")
    boto3.client("s3").put_object(Bucket="realmat", Key=key, Body=bytes(1 << 20))
    with pytest.raises(UserError, match=r"latents-00000.*nobody changes it meanwhile"):
        data.batch(np.arange(4))


def test_another_caches_index_and_a_lacking_archive_are_named(
    dataset: Path, model: TextToImage, caches: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    client, key = boto3.client("s3"), key_of("cache.json")
    index = json.loads(client.get_object(Bucket="realmat", Key=key)["Body"].read())
    client.put_object(Bucket="realmat", Key=key, Body=json.dumps(index | {"key": "x"}).encode())
    work = folder(tmp_path / "third", "run")
    with pytest.raises(UserError, match=r"cache.json belongs to another cache: remove it"):
        share_cache([dataset], model, TWO_RANKS, work, "cache")
    monkeypatch.delenv(ARCHIVE)
    with pytest.raises(UserError, match="stream_cache needs an archive: set REALMAT_ARCHIVE="):
        share_cache([dataset], model, TWO_RANKS, work, "cache")


def test_a_streamed_training_ends_with_the_same_weights(
    base_model: Path, dataset: Path, tmp_path: Path, store: Store
) -> None:
    found, recorders = [], (Recorder(), Recorder())
    for stream, recorder in zip((False, True), recorders, strict=True):
        config = tiny(
            base_model, iterations=3, stream_cache=stream, heldout_every=1, preview_prompts=2,
            preview_steps=2,
        )  # fmt: skip
        root = tmp_path / str(stream)
        store.seen.clear()
        store.parts.clear()
        run(
            config, dataset=[dataset], output=root / "model", work=root / "run.work",
            tracker=recorder,
        )  # fmt: skip
        found.append(load_file(root / "model" / UNET))
    assert all(torch.equal(found[1][name], value) for name, value in found[0].items())
    assert recorders[0].losses == recorders[1].losses
    assert np.array_equal(*(recorder.images["samples.png"] for recorder in recorders))
    assert not [path for method, path in store.seen if method == "PUT"]
    shards = [wanted for path, wanted in store.parts if path.endswith(".safetensors")]
    assert shards
    assert all(shards)  # of none the whole
