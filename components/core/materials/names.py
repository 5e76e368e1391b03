"""Which map a file holds, by the names that ambientCG, Poly Haven, Godot and others give.

ambientCG: Bricks075A_1K-JPG_Color.jpg. Poly Haven: brick_wall_diff_1k.jpg, wall_nor_gl_1k.exr.
Godot's samples: albedo.jpg, depth.jpg (an inverted height). The last word that is neither a
resolution nor a format decides, so metal_plate_rough_2k.png is a roughness.
"""

from __future__ import annotations

import re
from pathlib import Path

from components.core.errors import UserError
from components.core.materials.material import CATEGORIES

SUFFIXES = (".bmp", ".exr", ".jpeg", ".jpg", ".png", ".tga", ".tif", ".tiff", ".webp")

_ROLES: dict[str, tuple[str, ...]] = {
    "albedo": ("albedo", "basecolor", "col", "color", "colour", "diff", "diffuse"),
    "roughness": ("rgh", "rough", "roughness"),
    "gloss": ("gloss", "glossiness", "smoothness"),
    "height": ("bump", "disp", "displacement", "height"),
    "depth": ("depth",),
    "metallic": ("metal", "metallic", "metalness"),
    "normal": ("nor", "norm", "normal", "normalgl", "nrm"),
    "normal_dx": ("normaldx",),
    "packed": ("arm", "orm"),
}
_ROLE_OF = {word: role for role, words in _ROLES.items() for word in words}
_NOISE = re.compile(r"\d+k|\d{3,5}|jpe?g|png|exr|tiff?|gl|opengl")

_ALIASES: dict[str, tuple[str, ...]] = {
    "brick": ("bricks",),
    "ceramic": ("porcelain", "terracotta", "tile", "tiles"),
    "fabric": ("carpet", "cloth", "denim", "textile", "wool"),
    "ground": ("dirt", "mud", "sand", "soil"),
    "leaves": ("foliage", "leaf"),
    "metal": ("copper", "iron", "rust", "steel"),
    "paper": ("cardboard", "wallpaper"),
    "pebble": ("gravel", "pebbles"),
    "rock": ("cliff", "rocks"),
    "stone": ("concrete", "paving", "stones"),
    "wood": ("bark", "parquet", "plank", "planks", "wooden"),
}
_CATEGORY_OF = {word: category for category, words in _ALIASES.items() for word in words} | {
    category: category for category in CATEGORIES
}


def map_files(folder: Path) -> dict[str, Path]:
    """The map files directly in a folder by role (albedo, roughness, gloss, height, depth, …).

    Where a role has several files, the first by name counts.
    """
    found: dict[str, Path] = {}
    try:
        files = sorted(folder.iterdir())
    except PermissionError as error:
        raise UserError(f"{folder}: may not be read; make it readable or leave it out") from error
    for file in files:
        hidden = file.name.startswith(".")  # such as the companions that macOS writes
        if file.suffix.lower() in SUFFIXES and file.is_file() and not hidden:
            role = role_of(file.stem)
            if role:
                found.setdefault(role, file)
    return found


def role_of(stem: str) -> str:
    """The role of a map by its file name without suffix; empty if the name tells none."""
    words = [word for word in re.split(r"[_\-\s.]+", stem.lower()) if word]
    if words[-1:] == ["dx"] or (words[-2:-1] == ["dx"] and _NOISE.fullmatch(words[-1])):
        return "normal_dx"
    meaningful = [word for word in words if not _NOISE.fullmatch(word)]
    if meaningful[-2:] == ["base", "color"]:
        return "albedo"
    return _ROLE_OF.get(meaningful[-1], "") if meaningful else ""


def category_of(name: str) -> str:
    """The category that a folder's name tells ("Bricks075A" is brick); empty if none."""
    for word in words_of(name):
        if word in _CATEGORY_OF:
            return _CATEGORY_OF[word]
    return ""


def words_of(name: str) -> list[str]:
    """The plain lower-case words of a name: "PavingStones055_1K-JPG" gives paving, stones."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = re.findall(r"[a-z]+", re.sub(r"\d+[kK]\b", " ", spaced).lower())
    return [word for word in words if len(word) > 1 and not _NOISE.fullmatch(word)]
