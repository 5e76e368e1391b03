"""Seconds a step waits for its rows: mapped from a disk, and streamed from an S3 server here.

    python -m tests.benchmarks.stream_cache [--delay MILLISECONDS]

Rows are of SDXL at 1024² (262 KB of latents, 636 KB of embeddings a prompt), five of them a step,
as each of the paper's 24 processes needs. The server is moto in a process of its own; `--delay` is
what each answer waits besides, as a store further away does. No training runs meanwhile, so all
of the time counts that `batch.Ahead` else hides behind a step's computing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import numpy as np

from components.core.platform.storage import upload
from components.sdxl_finetune.cache import ADDRESS, GRIDS, INDEX, PROMPTS
from components.sdxl_finetune.data import TrainingData, batch_items
from components.sdxl_finetune.shard_file import write_arrays
from tests.s3 import Store

ITEMS, ROWS, STEPS = 200, 5, 40
KEY, URI = "bench", "s3://bench/cache"


def serve(delay: float, port: Any) -> None:
    """A store whose answers take `delay` seconds more."""
    store = Store()

    def wait(method: str, path: str) -> bool:
        time.sleep(delay)
        return False

    store.refuse = wait
    port.send(store.port)
    time.sleep(3600)


def write_cache(folder: Path) -> None:
    """Random numbers in the shapes of SDXL's."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, np.float32)

    latents = {
        "latents": normal(ITEMS, 4, 128, 128), "time_ids": normal(ITEMS, 6),
        "prompts": np.arange(ITEMS),
    }  # fmt: skip
    embeds = {"tokens": normal(ITEMS, 77, 2048), "pooled": normal(ITEMS, 1280)}
    shards = {"embeds-00000.safetensors": embeds, "latents-00000.safetensors": latents}
    for name, arrays in shards.items():
        write_arrays(folder / name, arrays, KEY)
    contents: dict[str, Any] = {PROMPTS: [], GRIDS: []}
    contents[INDEX] = {"key": KEY, "items": ITEMS, "shards": list(shards)}
    for name, values in contents.items():
        (folder / name).write_text(json.dumps(values))


def seconds(work: Callable[[int], object], first: int = 0) -> float:
    """The median of a step's."""
    taken = []
    for step in range(first, first + STEPS):
        started = time.perf_counter()
        work(step)
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    delay = parser.parse_args().delay / 1000.0
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(delay, theirs))
    server.start()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ours.recv()}", "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    try:
        with tempfile.TemporaryDirectory() as folder:
            here, there = Path(folder, "here"), Path(folder, "there")
            here.mkdir()
            there.mkdir()
            write_cache(here)
            boto3.client("s3").create_bucket(Bucket="bench")
            upload(here, URI, last=INDEX)
            for name in (PROMPTS, GRIDS, INDEX):
                (there / name).write_bytes((here / name).read_bytes())
            (there / ADDRESS).write_text(URI)
            mapped = TrainingData(here)
            started = time.perf_counter()
            streamed = TrainingData(there)
            opened = time.perf_counter() - started

            def read(data: TrainingData, step: int) -> object:
                return data.batch(batch_items(0, step, ROWS, ITEMS))

            print(f"answers wait {delay * 1000:.0f} ms; {ROWS} rows a step, median of {STEPS}")
            print(f"mapped, in the page cache    {seconds(lambda s: read(mapped, s)):8.4f} s")
            print(f"streamed, prompts are new    {seconds(lambda s: read(streamed, s)):8.4f} s")
            known = seconds(lambda s: read(streamed, s), STEPS)
            print(f"streamed, prompts in memory  {known:8.4f} s")
            print(f"opened in                    {opened:8.4f} s")
    finally:
        server.kill()


if __name__ == "__main__":
    main()
