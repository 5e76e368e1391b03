"""A material as a folder of our own: five maps and `material.json`.

albedo.png (8-bit sRGB), height.png (16-bit), roughness.png, metallic.png, normal.png (OpenGL,
derived from the height) and material.json (caption, category and whatever is known: prompt, seed,
model, version, licence). Values on the 8- and 16-bit lattices survive the round trip exactly.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.materials.material import Material
from components.core.materials.pixels import (
    as_color,
    as_grey,
    encode_normals,
    png_8,
    png_16,
    read_map,
)

SIDECAR = "material.json"


def encoded_maps(material: Material) -> dict[str, bytes]:
    """The PNG files of a material by file name."""
    return {
        "albedo.png": png_8(material.albedo),
        "height.png": png_16(material.height),
        "roughness.png": png_8(material.roughness),
        "metallic.png": png_8(material.metallic),
        "normal.png": png_8(encode_normals(material.normal())),
    }


def sidecar(material: Material, **metadata: Any) -> str:
    """The JSON text that accompanies a material's maps."""
    known = {**material.metadata, **metadata}
    content = {"caption": material.caption, "category": material.category, **known}
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def save_material(material: Material, folder: Path, **metadata: Any) -> None:
    """Write the maps and material.json; files of an earlier material there are replaced.

    metadata: JSON values that are added to the material's own.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    beside.mkdir()
    try:
        for name, content in encoded_maps(material).items():
            (beside / name).write_bytes(content)
        (beside / SIDECAR).write_text(sidecar(material, **metadata), encoding="utf-8")
        if folder.exists():
            for file in sorted(beside.iterdir()):
                file.replace(folder / file.name)
        else:
            beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def load_material(folder: Path) -> Material:
    """What `save_material` wrote; UserError names the file that is missing or damaged."""
    if not (folder / "albedo.png").is_file():
        raise UserError(
            f"{folder}: expected a material folder with albedo.png, height.png, roughness.png and "
            "metallic.png"
        )
    maps = {"albedo": as_color(read_map(folder / "albedo.png"))}
    for name in ("height", "roughness", "metallic"):
        values = as_grey(read_map(folder / f"{name}.png"))
        if values.shape != maps["albedo"].shape[:2]:
            raise UserError(f"{folder / name}.png: expected the size of albedo.png")
        maps[name] = values
    known = read_sidecar(folder)
    caption, category = str(known.pop("caption", "")), str(known.pop("category", ""))
    return Material(**maps, caption=caption, category=category, metadata=known)


def read_sidecar(folder: Path) -> dict[str, Any]:
    """The content of material.json, empty where there is none."""
    file = folder / SIDECAR
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: not valid JSON; mend or remove it") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected a JSON object; mend or remove it")
    return content


def link(file: str | Path, target: str | Path) -> None:
    """A second name of a file, which costs nothing; a copy where the two lie on different disks."""
    try:
        os.link(file, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP):
            raise
        shutil.copyfile(file, target)


def write_whole(file: Path, content: bytes) -> None:
    """Write a file so that it appears complete or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.part")
    try:
        beside.write_bytes(content)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
