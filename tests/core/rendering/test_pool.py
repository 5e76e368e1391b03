"""The pool's processes know the lights that were asked for, and the GPU and their threads."""

import os
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components.core.catalogues.address import environments_folders
from components.core.platform.config_types import Rendering
from components.core.platform.cores import cores
from components.core.rendering import threads
from components.core.rendering.batch import Light
from components.core.rendering.pool import RenderPool, prepare_renderer
from components.core.rendering.threads import prepare_with_share


def test_the_lights_may_be_a_catalogues(lights_address: str) -> None:
    work = prepare_renderer(Rendering(size=8, spp=1, mesh_resolution=8), lights_address)
    grid = np.full((16, 16, 3), 0.5, np.float32)
    assert work((grid, Light(0, 0.0, 1))).shape == (8, 8, 3)


def test_processes_with_one_thread_each_read_exr_lights(lights_address: str) -> None:
    """By itself, Mitsuba would never end: it reads and writes EXR files with two threads."""
    (folder,) = map(str, environments_folders(lights_address))
    rendering = Rendering(size=8, spp=1, mesh_resolution=8)
    grid = np.full((16, 16, 3), 0.5, np.float32)
    with RenderPool(rendering, folder, cores(), timeout=60.0) as pool:
        (image,) = pool([grid], [Light(0, 0.0, 1)])
    expected = prepare_renderer(rendering, folder)((grid, Light(0, 0.0, 1)))
    np.testing.assert_array_equal(image, expected)


def showing(rendering: Rendering, environments: str) -> Callable[[Any], Any]:
    """Answers with the GPUs that the process sees, in place of an image."""
    return lambda job: np.array([os.environ.get("CUDA_VISIBLE_DEVICES", "")])


@pytest.mark.parametrize(
    ("visible", "gpu", "expected"),
    [(None, 3, "3"), ("4,5,GPU-6", 2, "GPU-6"), ("4,5", None, "4,5"), ("7", 0, "7")],
)
def test_the_processes_see_the_gpu_of_their_training_process(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, gpu: int | None, expected: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with RenderPool(Rendering(), "", 1, timeout=60.0, prepare=showing, gpu=gpu) as pool:
        (answer,) = pool([np.zeros((2, 2, 3), np.float32)], [Light(0, 0.0, 1)])
    assert answer is not None
    assert answer.tolist() == [expected]
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


@pytest.mark.parametrize(
    ("siblings", "processes", "expected"), [("1", 6, 10), ("8", 6, 1), ("8", 2, 4), ("8", 1, 8)]
)
def test_training_processes_of_one_machine_share_its_cores(
    monkeypatch: pytest.MonkeyPatch, siblings: str, processes: int, expected: int
) -> None:
    """Six processes that render for each of eight that train, on 64 cores: a thread each."""
    counts: list[int] = []
    monkeypatch.setitem(sys.modules, "drjit", SimpleNamespace(set_thread_count=counts.append))
    monkeypatch.setattr(threads, "cores", lambda: 64)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", siblings)
    assert prepare_with_share(processes, lambda: "ready") == "ready"
    assert counts == [expected]


@pytest.mark.parametrize(("made", "left"), [(64, 8), (8, 8), (1, 1)])
def test_a_process_keeps_to_its_share_and_to_less_if_it_was_given_less(
    monkeypatch: pytest.MonkeyPatch, made: int, left: int
) -> None:
    counts = [made]
    fake = SimpleNamespace(set_thread_count=counts.append, thread_count=lambda: counts[-1])
    monkeypatch.setitem(sys.modules, "drjit", fake)
    monkeypatch.setattr(threads, "cores", lambda: 64)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    threads.keep_to_share()
    assert counts[-1] == left
