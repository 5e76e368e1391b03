"""Where comparisons come from: an evaluation's artifact, or folders that methods filled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.study.design import Comparison
from apps.study.media import SUFFIXES, Frames, read_frames
from components.core.errors import UserError
from components.core.generator import category_of
from components.core.materials.grid import unpack_uint8
from components.core.materials.material import Material
from components.core.materials.names import map_files
from components.core.materials.pbr_set import load_pbr_set
from components.core.platform.artifacts import open_artifact
from components.core.rendering.environments import Environment
from components.core.rendering.loop import point_light_loop
from components.core.rendering.scene import Renderer

PROMPTS = "prompts.json"


def from_evaluation(
    folder: Path, renderer: Renderer, environments: Sequence[Environment], *, loops: bool = False
) -> list[Comparison]:
    """Before and after RL: the same prompt, seed and light (paper, section 6.2)."""
    folder = open_artifact(folder, "evaluation")
    rows = [json.loads(line) for line in (folder / "pairs.jsonl").read_text("utf-8").splitlines()]
    grids = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("before", "after")
    }

    def frames(index: int) -> dict[str, Frames]:
        light = environments[index % len(environments)]
        return {
            name: rendered(unpack_uint8(np.asarray(maps[index])), renderer, light, loops=loops)
            for name, maps in grids.items()
        }

    return [
        Comparison(f"pair-{index}", row["prompt"], row.get("category", ""), partial(frames, index))
        for index, row in enumerate(rows)
    ]


def rendered(
    material: Material, renderer: Renderer, light: Environment, *, loops: bool
) -> NDArray[np.uint8]:
    """A still under natural light, or the loop of the moving lamp (paper, section 6.4)."""
    if loops:
        return point_light_loop(renderer, material)
    return renderer.render_srgb(material, light, rotation=0.0, seed=0)[None]


def from_folders(
    folders: Mapping[str, Path], renderer: Renderer, environments: Sequence[Environment]
) -> list[Comparison]:
    """What several methods made: entries of the same name are compared.

    An entry is a picture or loop, or a folder with the maps of a material, which is rendered as a
    loop of the moving lamp. `prompts.json` in any of the folders maps names to prompts; without it
    the name is the prompt.
    """
    found = {method: entries(folder) for method, folder in folders.items()}
    common = sorted(set.intersection(*(set(names) for names in found.values())))
    if not common:
        raise UserError(
            f"The folders {', '.join(str(folder) for folder in folders.values())} have no entry of "
            "the same name: name the results of one prompt alike."
        )
    prompts: dict[str, str] = {}
    for folder in folders.values():
        if (folder / PROMPTS).is_file():
            prompts |= _prompts(folder / PROMPTS)

    def frames(name: str) -> dict[str, Frames]:
        return {
            method: read_entry(names[name], renderer, environments[0])
            for method, names in found.items()
        }

    return [
        Comparison(name, prompt, category_of(prompt), partial(frames, name))
        for name in common
        for prompt in [prompts.get(name, name.replace("-", " ").replace("_", " "))]
    ]


def entries(folder: Path) -> dict[str, Path]:
    """Pictures, loops and material folders by name without suffix."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give one with a method's results.")
    return {
        path.stem if path.is_file() else path.name: path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
        and (path.suffix.lower() in SUFFIXES if path.is_file() else bool(map_files(path)))
    }


def read_entry(path: Path, renderer: Renderer, light: Environment) -> Frames:
    """The frames of an entry."""
    if path.is_file():
        return read_frames(path)
    return rendered(load_pbr_set(path), renderer, light, loops=True)


def _prompts(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_text("utf-8"))
        return {str(name): str(prompt) for name, prompt in found.items()}
    except (ValueError, AttributeError) as error:
        raise UserError(f"{file} must be a JSON object of names and prompts.") from error
