"""The small CLIP's training set: materials as the pipeline renders them, and distractors.

A material is seen at two resolutions, as a fixed piece or any piece of its style (see
`catalogue.sample`): as it is, through the denoiser's patch code, so that a rendering of generated
maps, which are softer than the library's, is still told by its form, or as a stand-in for a
photograph. The quality, a word that goes before the caption, says which: without it the features
forget what the realism reward reads (a linear classifier told photographs from samples with an AUC
of 0.88 instead of 0.95). One picture in twelve has a held-out prompt: training leaves those out and
measures the accuracy on them.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from components.core.materials.grid import pack_uint8, to_uint8, unpack_uint8
from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES, Material
from components.core.materials.prompts import is_heldout, prompt_of
from components.core.platform.config_types import Rendering
from components.core.platform.progress import track
from components.core.realism.distractors import draw_distractor
from components.core.realism.stand_in import MAP_SCALE, detailed_renderer, stand_in
from components.core.rendering.batch import draw_lights
from components.core.rendering.environments import Environment
from components.pretraining.data import one_thread
from components.pretraining.principal import PatchBasis

CHUNK = 256
"""Pictures a file."""

SIZE = 64
"""Pixels of a side: the small CLIP's input."""

MAP_SIZES = (64, 128)
HELDOUT_EVERY = 12
DISTRACTOR_SHARE = 0.08
SOFT = "soft"
PHOTOGRAPH = "photograph of"
QUALITIES = {"": 0.25, SOFT: 0.45, PHOTOGRAPH: 0.3}
"""Shares of the pictures that show a material."""
CODE_NOISE = 0.2
"""Largest standard deviation of the noise on a patch code, whose components have about 1."""


@dataclass(frozen=True)
class PictureSet:
    """images (N, S, S, 3) uint8 with their prompts, categories ("" for a distractor) and qualities
    (of `QUALITIES`)."""

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


def draw(
    rng: np.random.Generator, category: str, heldout: bool, sizes: Sequence[int] = MAP_SIZES
) -> Material:
    """A library material of either kind of prompt, one piece or any, at one of `sizes`."""
    pieces = int(rng.integers(2))
    while True:
        material = sample(category, rng, max(MAP_SIZES), pieces)
        if is_heldout(prompt_of(category, material.caption)) == heldout:
            return material.resized(int(rng.choice(sizes)))


def coded(material: Material, basis: PatchBasis, rng: np.random.Generator) -> Material:
    """The material as its patch code keeps it, with the noise that sampled codes have."""
    latents = basis.encode(torch.from_numpy(pack_uint8(material)[None]).float() / 255.0)
    noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
    decoded = basis.decode(latents + float(rng.uniform(0, CODE_NOISE)) * noise)
    return unpack_uint8(to_uint8(((decoded + 1.0) / 2.0).clamp(0, 1).numpy())[0])


def _build_chunk(job: tuple[Path, int, Path, int]) -> None:
    from components.core.rendering.environments import load_environments

    folder, index, basis_path, seed = job
    rng = np.random.default_rng(np.random.SeedSequence([seed, 7, index]))
    basis = PatchBasis.load(basis_path)
    distractors = [draw_distractor(rng, SIZE) for _ in range(int(CHUNK * DISTRACTOR_SHARE))]
    shown = CHUNK - len(distractors)
    categories = [CATEGORIES[i % len(CATEGORIES)] for i in range(shown)]
    qualities = rng.choice(list(QUALITIES), size=shown, p=list(QUALITIES.values())).tolist()
    materials = [
        draw(
            rng,
            category,
            heldout=int(rng.integers(HELDOUT_EVERY)) == 0,
            sizes=(MAP_SCALE * SIZE,) if quality == PHOTOGRAPH else MAP_SIZES,
        )
        for category, quality in zip(categories, qualities, strict=True)
    ]
    images = rendered(materials, qualities, basis, load_environments(""), rng)
    words = {
        "prompts": [prompt_of(c, m.caption) for c, m in zip(categories, materials, strict=True)]
        + [caption for _, caption in distractors],
        "categories": categories + [""] * len(distractors),
        "qualities": qualities + [""] * len(distractors),
    }
    (folder / f"{index:04d}.json").write_text(json.dumps(words))
    beside = folder / f"{index:04d}.tmp"
    with beside.open("wb") as file:
        np.savez(file, images=np.stack(images + [image for image, _ in distractors]))
    beside.rename(folder / f"{index:04d}.npz")


def rendered(
    materials: Sequence[Material],
    qualities: Sequence[str],
    basis: PatchBasis,
    environments: Sequence[Environment],
    rng: np.random.Generator,
) -> list[NDArray[np.uint8]]:
    """A picture (S, S, 3) of each material in its quality, under a random light."""
    from components.core.rendering.scene import Renderer

    rendering = Rendering(size=SIZE, spp=16, displacement=0.06, mesh_resolution=48)
    plain, detailed = Renderer(**rendering.model_dump()), detailed_renderer(rendering)
    lights = draw_lights(len(materials), len(environments), rng)
    images: dict[int, NDArray[np.uint8]] = {}
    # Environment by environment, because changing it costs more than changing the maps.
    for i in sorted(range(len(materials)), key=lambda i: lights[i].environment):
        environment = environments[lights[i].environment]
        if qualities[i] == PHOTOGRAPH:
            images[i] = stand_in(materials[i], detailed, environment, rng)
        else:
            seen = coded(materials[i], basis, rng) if qualities[i] == SOFT else materials[i]
            images[i] = plain.render_srgb(
                seen, environment, rotation=lights[i].rotation, seed=lights[i].seed
            )
    return [images[i] for i in range(len(materials))]
