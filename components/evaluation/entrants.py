"""The materials of a contest: sampled by a model, or read from another method's folder.

A model samples in a process of its own, so that its peak of memory is its own. Finished batches
stay in the work folder, and a restarted contest goes on after them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from components.core.materials.grid import pack_uint8, unpack_uint8
from components.core.materials.material import Material
from components.core.materials.methods import folders_of, load_method_material
from components.core.platform.batches import Arrays, batches
from components.core.platform.memory import peak_memory
from components.evaluation.comparison import Pair

AT_ONCE = 8
"""Materials of a batch, as many as the generator samples at once."""


@dataclass(frozen=True)
class Entrant:
    """A method's materials, one for each pair, and what they cost; None where not known."""

    materials: list[Material]
    seconds: float | None = None
    """For a material: the median over batches, loading the model not counted."""
    memory: int | None = None
    """Bytes at the peak: of the process, or of the accelerator where there is one."""


def sampled(uri: str, pairs: Sequence[Pair], work: Path, *, tileable: bool) -> Entrant:
    """What the model `uri` makes of the pairs' prompts and seeds."""
    if len(list(work.glob("materials-*.npz"))) < _count(pairs):
        # The process inherits the environment, and with it the registry that MLflow reads.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(_sample, uri, list(pairs), work, tileable).result()
    parts = [arrays for _, arrays in batches(work, "materials", _count(pairs), _missing)]
    grids = np.concatenate([part["grids"] for part in parts])
    return Entrant(
        [unpack_uint8(g, p.prompt, p.category) for g, p in zip(grids, pairs, strict=True)],
        float(np.median([part["seconds"] for part in parts])),
        int(max(part["memory"] for part in parts)),
    )


def external(root: Path, pairs: Sequence[Pair]) -> Entrant:
    """The materials that another method made for the pairs' prompts."""
    folders = folders_of(root, [pair.prompt for pair in pairs])
    return Entrant(
        [
            replace(load_method_material(folder), caption=pair.prompt, category=pair.category)
            for folder, pair in zip(folders, pairs, strict=True)
        ]
    )


def _sample(uri: str, pairs: list[Pair], work: Path, tileable: bool) -> None:
    """Sample the batches that `work` lacks."""
    import torch

    from components.core.generator import MaterialGenerator

    generator = MaterialGenerator.load(uri)

    def compute(index: int) -> Arrays:
        part = pairs[index * AT_ONCE : (index + 1) * AT_ONCE]
        begun = time.perf_counter()
        materials = generator.generate(
            [pair.prompt for pair in part], [pair.seed for pair in part], tileable=tileable
        )
        seconds = (time.perf_counter() - begun) / len(part)
        memory = peak_memory()
        if generator.device.startswith("cuda"):
            memory = torch.cuda.max_memory_allocated()
        grids = np.stack([pack_uint8(material) for material in materials])
        return {"grids": grids, "seconds": np.array(seconds), "memory": np.array(memory)}

    for _ in batches(work, "materials", _count(pairs), compute):
        pass


def _count(pairs: Sequence[Pair]) -> int:
    return -(-len(pairs) // AT_ONCE)


def _missing(index: int) -> Arrays:
    raise RuntimeError(f"batch {index} was not sampled")
