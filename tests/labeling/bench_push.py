"""How long a set of the paper's size takes to reach a real Label Studio server (`make bench`)."""

from __future__ import annotations

import time

import numpy as np
import pytest

from labeling.annotations import SETS, Task
from labeling.label_studio import connect
from labeling.server import Server

COUNT, SIZE = 2000, 64


@pytest.mark.parametrize("images", ["", "inline"])
def test_push_of_a_set(server: Server, images: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)
    tasks = [Task(SETS[0], i, image, "brick") for i, image in enumerate(pixels)]
    environment = {"LABEL_STUDIO_API_KEY": server.credentials.token}
    of = connect(server.address(f"bench {images or 'files'}", images), environment=environment)
    seconds: dict[str, float] = {}
    for name, action in {
        "push": lambda: of.push(tasks),
        "push again": lambda: of.push(tasks),
        "order": lambda: of.order(tasks, rng.random(COUNT).tolist(), "v1"),
        "pull": lambda: of.pull(tasks),
    }.items():
        started = time.perf_counter()
        action()
        seconds[name] = time.perf_counter() - started
    assert len(of.records()) == COUNT
    figures = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    print(f"\n{COUNT} images {images or 'served from a folder'}: {figures} (aim: push in 5 s)")
