"""The small CLIP's training set: materials as the pipeline renders them, and distractors.

A material is seen at two resolutions, as a fixed piece or any piece of its style (see
`catalogue.sample`), and often through the denoiser's patch code, so that a rendering of generated
maps, which are softer than the library's, is still told by its form. Such a picture has the quality
`SOFT`, a word that goes before its caption: without it the features forget what the realism reward
reads (a linear classifier told photographs from samples with an AUC of 0.88 instead of 0.95).
One picture in twelve has a
held-out prompt: training leaves those out and measures the accuracy on them.
"""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from components.core.materials.grid import pack_uint8, to_uint8, unpack_uint8
from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES, Material
from components.core.materials.prompts import is_heldout, prompt_of
from components.core.platform.progress import track
from components.core.realism.distractors import draw_distractor
from components.pretraining.data import one_thread
from components.pretraining.principal import PatchBasis

CHUNK = 256
"""Pictures a file."""

SIZE = 64
"""Pixels of a side: the small CLIP's input."""

MAP_SIZES = (64, 128)
HELDOUT_EVERY = 12
DISTRACTOR_SHARE = 0.08
CODED_SHARE = 0.4
SOFT = "soft"
CODE_NOISE = 0.2
"""Largest standard deviation of the noise on a patch code, whose components have about 1."""


@dataclass(frozen=True)
class PictureSet:
    """images (N, S, S, 3) uint8 with their prompts, categories ("" for a distractor) and qualities
    (`SOFT` or "")."""

    images: NDArray[np.uint8]
    prompts: list[str]
    categories: list[str]
    qualities: list[str]


def build(folder: Path, count: int, basis: Path, processes: int, seed: int) -> None:
    """Render the missing chunks of `count` pictures; `basis` is the saved patch basis."""
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [i for i in range(-(-count // CHUNK)) if not (folder / f"{i:04d}.npz").exists()]
    jobs = [(folder, index, basis, seed) for index in chunks]
    # Spawned, not forked: a renderer's threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(processes, initializer=one_thread) as pool:
        for _ in track(pool.imap_unordered(_build_chunk, jobs), "pictures", len(jobs)):
            pass


def load(folder: Path) -> PictureSet:
    """All chunks in `folder`, in order."""
    paths = sorted(folder.glob("*.npz"))
    words = [json.loads(path.with_suffix(".json").read_text()) for path in paths]
    return PictureSet(
        images=np.concatenate([np.load(path)["images"] for path in paths]),
        prompts=[word for chunk in words for word in chunk["prompts"]],
        categories=[word for chunk in words for word in chunk["categories"]],
        qualities=[word for chunk in words for word in chunk["qualities"]],
    )


def draw(rng: np.random.Generator, category: str, heldout: bool) -> Material:
    """A library material of either kind of prompt, one piece or any, at one of `MAP_SIZES`."""
    pieces = int(rng.integers(2))
    while True:
        material = sample(category, rng, max(MAP_SIZES), pieces)
        if is_heldout(prompt_of(category, material.caption)) == heldout:
            return material.resized(int(rng.choice(MAP_SIZES)))


def coded(material: Material, basis: PatchBasis, rng: np.random.Generator) -> Material:
    """The material as its patch code keeps it, with the noise that sampled codes have."""
    latents = basis.encode(torch.from_numpy(pack_uint8(material)[None]).float() / 255.0)
    noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
    decoded = basis.decode(latents + float(rng.uniform(0, CODE_NOISE)) * noise)
    return unpack_uint8(to_uint8(((decoded + 1.0) / 2.0).clamp(0, 1).numpy())[0])


def _build_chunk(job: tuple[Path, int, Path, int]) -> None:
    import drjit

    from components.core.rendering.batch import draw_lights, render_batch
    from components.core.rendering.environments import load_environments
    from components.core.rendering.scene import Renderer

    folder, index, basis_path, seed = job
    drjit.set_thread_count(1)
    torch.set_num_threads(1)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 7, index]))
    basis = PatchBasis.load(basis_path)
    distractors = [draw_distractor(rng, SIZE) for _ in range(int(CHUNK * DISTRACTOR_SHARE))]
    materials: list[Material] = []
    prompts: list[str] = []
    categories: list[str] = []
    qualities: list[str] = []
    for i in range(CHUNK - len(distractors)):
        category = CATEGORIES[i % len(CATEGORIES)]
        material = draw(rng, category, heldout=int(rng.integers(HELDOUT_EVERY)) == 0)
        prompts.append(prompt_of(category, material.caption))
        categories.append(category)
        soft = rng.random() < CODED_SHARE
        qualities.append(SOFT if soft else "")
        materials.append(coded(material, basis, rng) if soft else material)
    environments = load_environments("")
    renderer = Renderer(size=SIZE, spp=16, displacement=0.06, mesh_resolution=48)
    lights = draw_lights(len(materials), len(environments), rng)
    images = render_batch(renderer, materials, environments, lights)
    images = np.concatenate([images, np.stack([image for image, _ in distractors])])
    prompts += [caption for _, caption in distractors]
    categories += [""] * len(distractors)
    qualities += [""] * len(distractors)
    words = {"prompts": prompts, "categories": categories, "qualities": qualities}
    (folder / f"{index:04d}.json").write_text(json.dumps(words))
    beside = folder / f"{index:04d}.tmp"
    with beside.open("wb") as file:
        np.savez(file, images=images)
    beside.rename(folder / f"{index:04d}.npz")
