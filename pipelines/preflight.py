"""What can be known to be wrong with a run's sources before its first stage starts."""

from pathlib import Path

from components.core.errors import UserError
from components.core.platform.storage import fingerprint, local_path


def check_sources(photos: str, environments: str, materials: str) -> None:
    """UserError when one of the sources is missing, or holds nothing that its stage could use.

    Folders on this machine are looked into; remote ones, which may be huge, are only listed.
    """
    for uri, check in (
        (photos, _check_photos),
        (environments, _check_environments),
        (materials, _check_materials),
    ):
        fingerprint(uri)
        if uri and "://" not in uri:
            check(local_path(uri))


def _check_photos(folder: Path) -> None:
    from components.core.materials.photos import list_images

    list_images(folder)


def _check_environments(folder: Path) -> None:
    from components.core.rendering.environments import load_environments

    load_environments(folder)


def _check_materials(folder: Path) -> None:
    from components.core.materials.names import map_files

    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    if not any("albedo" in map_files(path) for path in folders):
        raise UserError(
            f"{folder}: no material found; expected folders with an albedo map (albedo.png, "
            "*_Color.jpg, *_diff_1k.png)"
        )
