"""The pretraining set: library materials as grids, as renderings and in words.

Chunks are made by worker processes, each from its own seed, and appear whole or not at all, so
an interrupted run continues where it was. Held-out prompts (`is_heldout`) never appear.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.core.materials.grid import pack_uint8
from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES, Material
from components.core.materials.prompts import is_heldout, prompt_of
from components.core.platform.progress import track

CHUNK = 128
"""Materials a chunk."""

RENDERED_EVERY = 3
"""One rendering for so many grids: a rendering costs several times its material."""

WORDS = ("prompts", "categories", "rendering_prompts", "rendering_categories")

PIECES = 1
"""Pieces of each style among the grids (`catalogue.sample`): with 4, the model stays vague about
where things are for the few thousand steps that a CPU can afford. Renderings, which also teach the
small CLIP, show any piece."""

GRID_PREFIX = "2x2 grid of material maps, "
"""What tells a grid from a rendering in the base model's prompts."""


@dataclass(frozen=True)
class PretrainingSet:
    """grids (N, S, S, 3) and renderings (M, S, S, 3) uint8 of different materials, each with its
    prompt and category."""

    grids: NDArray[np.uint8]
    renderings: NDArray[np.uint8]
    prompts: list[str]
    categories: list[str]
    rendering_prompts: list[str]
    rendering_categories: list[str]


def build(folder: Path, materials: int, size: int, processes: int, seed: int) -> None:
    """Make the missing chunks of the set: `materials` in all, grids and renderings size × size."""
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [i for i in range(-(-materials // CHUNK)) if not (folder / f"{i:04d}.npz").exists()]
    jobs = [(folder, index, size, seed) for index in chunks]
    # Spawned, not forked: a renderer's threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(processes, initializer=one_thread) as pool:
        for _ in track(pool.imap_unordered(_build_chunk, jobs), "pretraining set", len(jobs)):
            pass


def load(folder: Path) -> PretrainingSet:
    """All chunks in `folder`, in order."""
    paths = sorted(folder.glob("*.npz"))
    chunks = [np.load(path) for path in paths]
    words = [json.loads(path.with_suffix(".json").read_text()) for path in paths]
    return PretrainingSet(
        grids=np.concatenate([chunk["grids"] for chunk in chunks]),
        renderings=np.concatenate([chunk["renderings"] for chunk in chunks]),
        **{key: [word for chunk in words for word in chunk[key]] for key in WORDS},
    )


def one_thread() -> None:
    """A worker among several keeps to its own core.

    For processes of their own: with one thread of Dr.Jit, Mitsuba waits for ever when it writes an
    EXR file.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    import drjit
    import torch

    drjit.set_thread_count(1)
    torch.set_num_threads(1)


def _draw(rng: np.random.Generator, category: str, size: int, pieces: int) -> Material:
    """A library material whose prompt is not held out."""
    while True:
        material = sample(category, rng, size, pieces)
        if not is_heldout(prompt_of(category, material.caption)):
            return material


def _build_chunk(job: tuple[Path, int, int, int]) -> None:
    from components.core.rendering.environments import load_environments
    from components.core.rendering.scene import Renderer

    folder, index, size, seed = job
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    environments = load_environments("")
    renderer = Renderer(size=size, spp=8)
    grids, renderings = [], []
    words: dict[str, list[str]] = {key: [] for key in WORDS}
    for i in range(CHUNK):
        category = CATEGORIES[i % len(CATEGORIES)]
        material = _draw(rng, category, size, PIECES)
        grids.append(pack_uint8(material.resized(size // 2)))
        words["prompts"].append(prompt_of(category, material.caption))
        words["categories"].append(category)
        if i % RENDERED_EVERY:
            continue
        shown = _draw(rng, category, size, pieces=0)
        environment = environments[int(rng.integers(len(environments)))]
        rotation = float(rng.uniform(0, 2 * np.pi))
        renderings.append(renderer.render_srgb(shown, environment, rotation=rotation, seed=i))
        words["rendering_prompts"].append(prompt_of(category, shown.caption))
        words["rendering_categories"].append(category)
    (folder / f"{index:04d}.json").write_text(json.dumps(words))
    beside = folder / f"{index:04d}.tmp"
    with beside.open("wb") as file:
        np.savez(file, grids=np.stack(grids), renderings=np.stack(renderings))
    beside.rename(folder / f"{index:04d}.npz")
