"""Real DeepSpeed ranks over gloo, forked from one process that has imported everything.

Starting torchrun costs seven seconds a test, most of it imports; what torchrun does is tested
once, in test_training.py. Here every rank is a process of its own that runs the worker's `main`.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.sdxl_finetune.config import Config

SECONDS = 120
OF_ZERO = "deepspeed.runtime.zero.muon.muon_optimizer"
"""Imported by ZeRO whatever the optimizer, and with it all of torch's compiler."""


@dataclass(frozen=True)
class Trouble:
    """What happens to one rank: a signal after a step, a sample that is not a number, no memory
    from a step on, or a listing of the checkpoints without the last one."""

    rank: int = 1
    after_step: int = 0
    signal: int = 0
    poisoned_item: int = -1
    no_memory_at: int = 0
    old_listing: bool = False


def train_ranks(
    config: Config, work: Path, trouble: Trouble | None = None,
    before: Callable[[int], None] | None = None,
) -> tuple[list[int | None], list[str]]:  # fmt: skip
    """Exit codes, and digests of all parameters at the end, of every rank.

    before: what each process does first, given its rank.
    """
    (work / "config.json").write_text(config.model_dump_json())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.update(OMP_NUM_THREADS="1", DS_ACCELERATOR="cpu")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["components.sdxl_finetune.trainer", OF_ZERO, __name__])
    ranks = [
        context.Process(target=_rank, args=(rank, config.world_size, port, work, trouble, before))
        for rank in range(config.world_size)
    ]
    for process in ranks:
        process.start()
    killed = trouble is not None and trouble.signal == signal.SIGKILL
    if killed and trouble is not None:
        ranks[trouble.rank].join(SECONDS)
    for process in ranks:
        # torchrun ends the others when one dies.
        if killed and process.is_alive():
            process.kill()
        process.join(SECONDS)
    digests = [work / f"digest{rank}.txt" for rank in range(config.world_size)]
    return [p.exitcode for p in ranks], [d.read_text() for d in digests if d.exists()]


def _rank(
    rank: int, size: int, port: int, work: Path, trouble: Trouble | None,
    before: Callable[[int], None] | None,
) -> None:  # fmt: skip
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), OMP_NUM_THREADS="1",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), DS_ACCELERATOR="cpu",
    )  # fmt: skip
    import torch

    from components.sdxl_finetune import data, trainer, worker

    torch.set_num_threads(1)
    write = worker.write_result

    def digest_and_write(unet: Any, folder: Path, steps: int) -> None:
        if not hasattr(next(unet.parameters()), "ds_tensor"):
            digest = hashlib.sha256()
            for parameter in unet.parameters():
                digest.update(parameter.detach().numpy().tobytes())
            (folder / f"digest{rank}.txt").write_text(digest.hexdigest())
        write(unet, folder, steps)

    worker.write_result = digest_and_write
    if trouble is not None and trouble.rank == rank:
        _make_trouble(trouble, data.TrainingData, trainer.Trainer)
    if before is not None:
        before(rank)
    sys.argv = ["worker", str(work)]
    worker.main()


def _make_trouble(trouble: Trouble, data: Any, trainer: Any) -> None:
    import torch

    from components.sdxl_finetune import checkpoint

    listed = checkpoint.checkpoints
    batch, step_once = data.batch, trainer._step

    def poisoned(self: Any, items: Any) -> Any:
        latents, embeds, ids = batch(self, items)
        latents[items == trouble.poisoned_item] = float("nan")
        return latents, embeds, ids

    def interrupted(self: Any, step: int) -> Any:
        if trouble.no_memory_at == step + 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 1")
        result = step_once(self, step)
        if trouble.signal and step + 1 == trouble.after_step:
            os.kill(os.getpid(), trouble.signal)
        return result

    data.batch, trainer._step = poisoned, interrupted
    if trouble.old_listing:
        checkpoint.checkpoints = lambda folder: listed(folder)[:-1]


def logged(work: Path, name: str) -> dict[int, float]:
    """The logged values of a metric by step."""
    rows: list[Mapping[str, float]] = [
        json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()
    ]
    return {int(row["step"]): row[name] for row in rows if name in row}
