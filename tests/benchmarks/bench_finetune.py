"""Stage 1 on a CPU against the public script's way: steps a second, and start-up (`make bench`).

Both train the shipped small model with the laptop recipe's settings on the same grids, in turns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch

from components.core.diffusion.model import load_model
from components.core.materials.prompts import prompt_of
from components.core.materials.shards import GridShards
from components.core.platform.tracking import NullTracker
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.stage import run
from pipelines.recipe import load_recipe
from tests.benchmarks.grids import write_grids
from tests.benchmarks.public_script import PublicScript, encode_all, endless

STEPS = int(os.environ.get("REALMAT_BENCH_STEPS", "8"))
GRIDS, ROUNDS = 256, 2


class Stopwatch(NullTracker):
    """The time of every step that the stage logs."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.used: list[float] = []

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if "loss" in metrics:
            self.times.append(time.perf_counter())
            self.used.append(time.process_time())

    @property
    def seconds(self) -> list[tuple[float, float]]:
        """Wall and processor time of the steps after the first."""
        return list(zip(np.diff(self.times), np.diff(self.used), strict=True))


def settings(**changes: object) -> Config:
    """The laptop recipe's, with nothing but training."""
    quiet = {"log_every": 1, "checkpoint_every": 10**6, "preview_prompts": 0, "warmup_steps": 0}
    return load_recipe("laptop").sdxl_finetune.model_copy(update={**quiet, **changes})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grids(tmp_path_factory.mktemp("data") / "dataset", GRIDS, 128)


def test_steps_and_start_up_against_the_public_way(dataset: Path, tmp_path: Path) -> None:
    config = settings(iterations=STEPS + 1)
    shards = GridShards.open([dataset])
    images = [shards.grid(row) for row in range(GRIDS)]
    captions = [prompt_of(entry["category"], entry["caption"]) for entry in shards.entries]
    ours, theirs, starts, encodings = [], [], [], []
    for turn in range(ROUNDS):
        watch, started = Stopwatch(), time.perf_counter()
        # The second turn finds the cache that the first has made, and trains anew.
        work = tmp_path / "work"
        run(config, dataset=[dataset], output=tmp_path / f"{turn}", work=work, tracker=watch)
        ours += watch.seconds
        starts.append(watch.times[0] - started - median(wall for wall, _ in watch.seconds))
        for file in work.iterdir():
            if not file.is_symlink():
                file.rename(tmp_path / f"{turn}-{file.name}")
        started = time.perf_counter()
        model = load_model("small")
        examples = encode_all(model, images, captions, config.encode_batch_size)
        encodings.append(time.perf_counter() - started)
        script = PublicScript(
            model.unet, model.scheduler, autocast=config.precision == "bfloat16",
            learning_rate=config.learning_rate, ema_decay=config.ema_decay,
        )  # fmt: skip
        theirs += script.seconds(endless(examples, config.batch_size), STEPS + 1)[1:]
    print(f"\n{torch.get_num_threads()} threads, batch {config.batch_size}, {config.precision}:")
    for index, clock in enumerate(("wall", "processor")):
        own, other = ([step[index] for step in steps] for steps in (ours, theirs))
        print(
            f"{clock} time: ours {median(own):.2f} s a step ({min(own):.2f} the fastest), the "
            f"public way {median(other):.2f} ({min(other):.2f}): {median(other) / median(own):.2f} "
            f"times as fast, by the fastest {min(other) / min(own):.2f} (aim 1.1)"
        )
    print(
        f"start-up after the imports: with a warm cache {starts[-1]:.1f} s (aim 10), an empty one "
        f"{starts[0]:.1f} s, encoding {GRIDS} grids again as the script does {encodings[-1]:.1f} s"
    )
    assert len(ours) == len(theirs) == STEPS * ROUNDS
