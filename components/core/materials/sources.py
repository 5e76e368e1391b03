"""Material sets made elsewhere, wherever they lie: folders here or in a storage, and catalogues.

A tree is looked into once, so that what cannot be read, or was read with a doubt, is known, counted
and told before anything is made of it.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from components.core.catalogues.address import materials_folders
from components.core.catalogues.item import set_aside
from components.core.errors import UserError
from components.core.materials.checks import checks
from components.core.materials.material import Material
from components.core.materials.names import map_files
from components.core.materials.pbr_set import load_pbr_set
from components.core.materials.photos import Rejected
from components.core.platform.artifacts import hash_text

log = logging.getLogger(__name__)


def material_sets(root: Path) -> list[Path]:
    """The folders at and below `root` that hold PBR sets, by path, or that may hold one: several
    maps without an albedo (a single one may be any picture), and what may not be looked into."""
    found: list[Path] = []
    for folder in [root, *sorted(root.rglob("*"))]:
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            maps = map_files(folder)
        except UserError:
            found.append(folder)  # whose reading says why
            continue
        if "albedo" in maps or len(maps) > 1:
            found.append(folder)
    return found


class Sets(NamedTuple):
    """Folders of PBR sets: those to use, those that cannot be read and why, and what is to be told
    of the former, a sentence each."""

    usable: list[Path]
    left_out: list[Rejected]
    notes: list[Rejected]


def usable_sets(*roots: Path, processes: int = 1, kept: Path | None = None) -> Sets:
    """The PBR sets at and below the folders, in their order, each looked into.

    kept: a folder for what is found, so that it is not looked for again (`checks`). UserError if
    one of the folders has none that can be read. Nothing stays in memory.
    """
    sets = Sets([], [], [])
    for root in roots:
        place = kept / hash_text(str(root.resolve())) if kept else None
        found = _usable_sets(root, processes, place)
        sets.usable.extend(found.usable)
        sets.left_out.extend(found.left_out)
        sets.notes.extend(found.notes)
    return sets


def _usable_sets(root: Path, processes: int, kept: Path | None) -> Sets:
    notes: list[Rejected] = []
    usable: list[Path] = []
    left_out = [Rejected(root / name, reason) for name, reason in set_aside(root)]
    folders = material_sets(root)
    for folder, found in zip(folders, checks(folders, processes, kept), strict=True):
        if found.reason:
            log.warning("left out: %s: %s", folder, found.reason)
            left_out.append(Rejected(folder, found.reason))
            continue
        notes += [Rejected(folder, note) for note in found.notes]
        usable.append(folder)
    if not usable:
        raise UserError(
            f"{root}: no material found; expected folders with an albedo map (albedo.png, "
            "*_Color.jpg, *_diff_1k.png) and maps of roughness, height and metalness"
        )
    for note in notes:
        log.warning("%s: %s", note.path, note.reason)
    return Sets(usable, left_out, notes)


def load_material_folder(uri: str, size: int | None = None) -> list[Material]:
    """Every usable PBR set in a folder and the folders below it, by path, all in memory.

    uri: a folder, here or in a storage, or the address of a catalogue (`catalogues.address`), or
    several with commas between them. UserError if there is none.
    """
    return [load_pbr_set(folder, size) for folder in usable_sets(*materials_folders(uri)).usable]
