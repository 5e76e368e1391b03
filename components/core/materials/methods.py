"""Materials made by other methods: a folder of folders, one for each prompt.

    DIR/old-red-brick-wall/diffuse.png, specular.png, roughness.png, normal.png
    DIR/old-red-brick-wall-1/…          a second sample of the same prompt

Maps are known by their names (`components.core.materials.names`): MatFuse, ReflectanceFusion and
PhotoMat are read as diffuse, specular, roughness and normal or height, StableMaterials as
basecolor, metallic, roughness, height and normal. A specular map without a metallic one is
converted (`components.core.materials.specular`); a missing height is made from the normals.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from components.core.errors import UserError
from components.core.materials.material import Material, resize
from components.core.materials.names import SUFFIXES, map_files
from components.core.materials.pbr_set import load_pbr_set
from components.core.materials.pixels import as_color, read_map
from components.core.materials.specular import to_metallic

_SPECULAR = re.compile(r"(^|[_\-\s.])(spec|specular)([_\-\s.](\d+k|\d{3,5}|jpe?g|png|exr|tiff?))*$")
"""The last word but for resolutions and formats, as for the other maps: specular_1k.png."""


def slug(prompt: str) -> str:
    """The prompt as the name of its folder: lower-case words with dashes."""
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")


def load_method_material(folder: Path, size: int | None = None) -> Material:
    """A material of another method, converted; UserError if a map is missing or damaged."""
    material = load_pbr_set(folder, size)
    specular = specular_file(folder)
    if specular is None or "metallic" in map_files(folder):
        return material
    values = as_color(read_map(specular))
    if values.shape[0] != values.shape[1] or material.size[0] != material.size[1]:
        raise UserError(f"{specular}: expected square maps beside a specular map")
    albedo, metallic = to_metallic(material.albedo, resize(values, material.size[0]))
    defaults = [name for name in material.metadata["defaults"] if name != "metallic"]
    known = {**material.metadata, "defaults": defaults, "converted_from": "specular"}
    return replace(material, albedo=albedo, metallic=metallic, metadata=known)


def specular_file(folder: Path) -> Path | None:
    """The specular map directly in a folder, the first by name."""
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in SUFFIXES and _SPECULAR.search(file.stem.lower()):
            return file
    return None


def folders_of(root: Path, prompts: Sequence[str]) -> list[Path]:
    """The folder of each prompt; a prompt that comes again has `-1`, `-2`, … after its name.

    UserError says which prompt has none.
    """
    if not root.is_dir():
        raise UserError(f"{root}: expected a folder with one folder for each prompt")
    seen: dict[str, int] = {}
    found = []
    for prompt in prompts:
        number = seen.get(prompt, 0)
        seen[prompt] = number + 1
        folder = root / (f"{slug(prompt)}-{number}" if number else slug(prompt))
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder for the prompt '{prompt}'")
        found.append(folder)
    return found
