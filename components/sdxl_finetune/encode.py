"""Encoding in one process or in many, of one machine or of several nodes, by the same code.

What is to be encoded is written down in the cache's folder (`Job`). Each process computes every
n-th shard of those that are missing, and the first one writes the index when all are there. They
wait for each other by looking into the folder, which all of them see: no process group has to bear
that one takes hours longer than another, and a process that was started again finds its place.

    torchrun --nproc-per-node 8 -m components.sdxl_finetune.encode CACHE

A stage that trains in several processes starts nothing of its own: these encode before they train.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from pydantic import BaseModel

from components.core.diffusion.model import TextToImage, load_model
from components.core.platform.preemption import Preempted, ended_by_sigterm
from components.core.platform.processes import ending_well, train_in_group
from components.sdxl_finetune.cache import INDEX, Encoder, Shard, write_whole
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.device import compute_device, free_memory
from components.sdxl_finetune.grids import GridSet
from components.sdxl_finetune.shard_file import is_whole
from components.sdxl_finetune.shortage import encode_remedies, naming_shortage

JOB = "job.json"
POLL_SECONDS = 1.0
SECONDS_BETWEEN_LINES = 60.0


class Job(BaseModel, frozen=True, extra="forbid"):
    """What is encoded into a cache: grids, by which settings, under which key."""

    dataset: list[Path]
    config: Config
    key: str


def write_job(folder: Path, dataset: Sequence[Path], config: Config, key: str) -> Job:
    """Write down in the cache's folder what the processes that see it have to do."""
    job = Job(dataset=[path.resolve() for path in dataset], config=config, key=key)
    write_whole(folder / JOB, job.model_dump_json())
    return job


def encode_here(folder: Path, job: Job, model: TextToImage) -> None:
    """Complete the cache with this process and its model, or with a process for each GPU.

    On a CPU one process uses all cores as well as several would.
    """
    config = job.config
    processes = torch.cuda.device_count() if compute_device(config.device) == "cuda" else 1
    encoder = _encoder(job, model)
    if processes < 2 or len(encoder.missing(folder)) < 2:
        encode_together(folder, encoder)
    else:
        train_in_group(
            "sdxl_finetune", "components.sdxl_finetune.encode", folder, nodes=1,
            processes=processes, watch=lambda: None,
        )  # fmt: skip
    (folder / JOB).unlink()


def encode_together(folder: Path, encoder: Encoder, rank: int = 0, processes: int = 1) -> None:
    """Compute the share of process `rank` of so many; return when the cache is complete."""

    def not_there(shards: Sequence[Shard]) -> list[Shard]:
        return [shard for shard in shards if not is_whole(folder / shard.name, encoder.key)]

    encoder.write(folder, not_there(encoder.shards()[rank::processes]), shown=rank == 0)
    if rank != 0:
        _await(lambda: int(not (folder / INDEX).exists()), "")
        return
    left = encoder.shards()

    def count_left() -> int:
        nonlocal left
        left = not_there(left)
        return len(left)

    _await(count_left, "shards of other processes")
    encoder.finish(folder)


def encode_in_rank(folder: Path, model: TextToImage) -> None:
    """Complete the cache as a process of torchrun; `model` lies on the CPU before and after.

    SIGTERM raises `Preempted`, and what is encoded stays.
    """
    if (folder / INDEX).exists() or not (folder / JOB).exists():
        return  # there is nothing to do; what is missing then is said where it is opened
    job = Job.model_validate_json((folder / JOB).read_text(encoding="utf-8"))
    rank, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device = compute_device(job.config.device)
    place = f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device
    try:
        with (
            ended_by_sigterm(),
            naming_shortage("to encode grids", lambda: encode_remedies(job.config)),
        ):
            encode_together(folder, _encoder(job, model.to(place)), rank, processes)
    except SystemExit as end:
        raise Preempted(
            "stopped by SIGTERM while encoding grids, of which all finished shards stay: start "
            "again to continue"
        ) from end
    model.to("cpu")
    free_memory()


def _encoder(job: Job, model: TextToImage) -> Encoder:
    return Encoder(GridSet.open(job.dataset, model.image_size), model, job.config, job.key)


def _await(missing: Callable[[], int], what: str) -> None:
    """Wait until nothing is missing; say each minute what is waited for, if it has a name."""
    last = time.monotonic()
    while count := missing():
        if what and time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"encoding grids: waiting for {count} {what}", flush=True)
        time.sleep(POLL_SECONDS)


def main() -> None:
    """Entry point of a torchrun process that encodes and does nothing else."""
    folder = Path(sys.argv[1])
    with ending_well("sdxl_finetune", folder):
        job = Job.model_validate_json((folder / JOB).read_text(encoding="utf-8"))
        encode_in_rank(folder, load_model(job.config.base_model))


if __name__ == "__main__":
    main()
