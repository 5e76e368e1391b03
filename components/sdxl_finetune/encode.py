"""Encoding in several processes of one machine, one for each GPU.

    torchrun --nproc-per-node 8 -m components.sdxl_finetune.encode JOB

JOB is a file that `encode_in_processes` writes: data, settings, key and shards. Each
process computes every n-th of its shards.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from components.core.diffusion.model import load_model
from components.core.platform.lifeline import follow_lifeline
from components.core.platform.torchrun import torchrun_here, train_here
from components.sdxl_finetune.cache import Encoder, Shard
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.device import compute_device
from components.sdxl_finetune.grids import GridSet


def encode_in_processes(
    dataset: Sequence[Path], config: Config, folder: Path, key: str, shards: Sequence[Shard]
) -> None:
    """Compute shards of a cache with all GPUs; leave it to the caller if there are less than two.

    On a CPU one process uses all cores as well as several would.
    """
    processes = torch.cuda.device_count() if compute_device(config.device) == "cuda" else 1
    if processes < 2 or len(shards) < 2:
        return
    job = write_job(dataset, config, folder, key, shards)
    module = "components.sdxl_finetune.encode"
    train_here(torchrun_here([module, str(job)], processes), processes, lambda: None)
    job.unlink()


def write_job(
    dataset: Sequence[Path], config: Config, folder: Path, key: str, shards: Sequence[Shard]
) -> Path:
    """Write down for the processes what they have to do."""
    job = folder / f"job-{os.getpid()}.json"
    values = {
        "dataset": [str(path.resolve()) for path in dataset],
        "config": config.model_dump(mode="json"),
        "key": key,
        "shards": [asdict(shard) for shard in shards],
    }
    job.write_text(json.dumps(values), encoding="utf-8")
    return job


def encode_share(job: Path, rank: int, processes: int) -> None:
    """Compute every shard of a job whose turn it is, as process `rank` of so many."""
    values = json.loads(job.read_text(encoding="utf-8"))
    config = Config.model_validate(values["config"])
    device = compute_device(config.device)
    if device == "cuda":
        device = f"cuda:{rank}"
    model = load_model(config.base_model, device)
    grids = GridSet.open([Path(path) for path in values["dataset"]], model.image_size)
    shards = [Shard(**shard) for shard in values["shards"]]
    Encoder(grids, model, config, values["key"]).write(job.parent, shards[rank::processes])


if __name__ == "__main__":
    follow_lifeline()
    encode_share(Path(sys.argv[1]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
