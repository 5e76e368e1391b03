"""The training's own processes encode before they train: two real ranks, each its share."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from components.core.diffusion.model import TextToImage, load_model
from components.core.errors import UserError
from components.sdxl_finetune import cache, mapped
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.encode import JOB
from components.sdxl_finetune.shared_cache import Archiver, share_cache
from tests.s3 import archive
from tests.sdxl_finetune.ranks import Trouble, train_ranks
from tests.sdxl_finetune.test_shared_cache import folder
from tests.sdxl_finetune.test_training import tiny

IN_A_SHARD = 4
SHARDS = ["embeds-00000", *(f"latents-{number:05d}" for number in range(5))]


@dataclass(frozen=True)
class Shards:
    """Makes shards small, and notes in `log` who has written which; at its shard number `at` a
    rank of `ranks` gets a signal instead."""

    log: Path
    at: int = 0
    number: int = 0
    ranks: tuple[int, ...] = (0, 1)

    def __call__(self, rank: int) -> None:
        cache.ITEMS_PER_SHARD = mapped.ITEMS_PER_SHARD = IN_A_SHARD
        write, written = cache.write_arrays, list[str]()

        def noting(file: Path, *rest: Any) -> None:
            written.append(file.name)
            if len(written) == self.at and rank in self.ranks:
                os.kill(os.getpid(), self.number)
            write(file, *rest)
            with self.log.open("a") as log:
                log.write(f"{rank} {file.stem}\n")

        cache.write_arrays = noting

    def noted(self) -> list[tuple[int, str]]:
        rows = (line.split() for line in self.log.read_text().splitlines())
        return sorted((int(rank), name) for rank, name in rows)


def two_ranks(base_model: Path) -> Config:
    return tiny(
        base_model, processes=2, iterations=1, variants_per_grid=2, encode_batch_size=2,
        preview_every=1, preview_prompts=2, preview_steps=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(base_model: Path) -> TextToImage:
    return load_model(str(base_model))


@pytest.fixture(scope="module")
def alone(
    dataset: Path, base_model: Path, model: TextToImage, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The files of a cache that one process has made."""
    torch.set_num_threads(1)
    work = folder(tmp_path_factory.mktemp("alone"), "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "ITEMS_PER_SHARD", IN_A_SHARD)
        share_cache([dataset], model, two_ranks(base_model), work, "cache")
    return files(work)


def files(work: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in (work / "cache").iterdir()}
    return {name: content for name, content in found.items() if name != JOB}


@pytest.mark.long
def test_two_ranks_make_the_cache_of_one_each_shard_once(
    dataset: Path, base_model: Path, model: TextToImage, alone: dict[str, bytes], tmp_path: Path
) -> None:
    work, config, shards = folder(tmp_path, "run"), two_ranks(base_model), Shards(tmp_path / "log")
    share_cache([dataset], model, config, work, "cache", later=True)
    assert files(work).keys() == {"key.txt"}
    assert train_ranks(config, work, before=shards)[0] == [0, 0]
    assert files(work) == alone
    assert shards.noted() == [(n % 2, name) for n in (0, 2, 4, 1, 3, 5) for name in [SHARDS[n]]]
    assert (work / "unet").exists()


@pytest.mark.long
@pytest.mark.rare
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
def test_what_ended_ranks_have_encoded_is_not_encoded_again(
    dataset: Path, base_model: Path, model: TextToImage, alone: dict[str, bytes], tmp_path: Path,
    number: int,
) -> None:  # fmt: skip
    """At SIGTERM, which torchrun gives to all, each ends with 143; after a kill it ends the others.

    Nothing counts as a cache before it is complete.
    """
    work, config = folder(tmp_path, "run"), two_ranks(base_model)
    share_cache([dataset], model, config, work, "cache", later=True)
    killed = number == signal.SIGKILL
    ended = Shards(tmp_path / "log", 2, number, (1,) if killed else (0, 1))
    trouble = Trouble(1, after_step=100, signal=number)
    codes, _ = train_ranks(config, work, trouble, before=ended)
    assert codes[1] == (-signal.SIGKILL if killed else 143)
    assert killed or codes[0] == 143
    assert "cache.json" not in files(work)
    before = ended.noted()
    assert (1, SHARDS[1]) in before
    assert len(before) < len(SHARDS)
    share_cache([dataset], model, config, work, "cache", later=True)
    assert train_ranks(config, work, before=Shards(ended.log))[0] == [0, 0]
    found = {name: content for name, content in files(work).items() if "partial" not in name}
    assert found == alone
    assert sorted(name for _, name in ended.noted()) == SHARDS  # each once


def test_a_copy_to_the_archive_that_fails_is_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with archive(monkeypatch) as store:
        store.refuse = lambda method, path: method == "PUT"
        archiver = Archiver(tmp_path)
        archiver.look()
        (tmp_path / "cache.json").write_text("{}")
        archiver.look()
        with pytest.raises(UserError, match="cannot be written"):
            archiver.finish()
        store.refuse = lambda method, path: False
        Archiver(tmp_path).finish()  # complete before: not its work
