"""Typed artifacts: directories with a manifest that says what they are.

Stages meet on disk only, so what lies there must be whole and must say what it is. A writer fills
a folder beside the target and renames it into place; a reader names the kind it expects.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from components.core.errors import UserError
from components.core.platform.full_disk import naming_full_disk

MANIFEST = "manifest.json"
LOCATION = "location"
"""File beside a manifest that names the folder where the artifact's other files are."""
SCHEMA_VERSION = 1


class Manifest(BaseModel, frozen=True):
    """What `manifest.json` says about the folder it lies in."""

    kind: str
    schema_version: int
    producer: str
    config_hash: str
    content_hash: str
    seconds: float
    created: str


def hash_text(text: str) -> str:
    """Returns the SHA-256 of a text, as every hash of this project."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_folder(folder: Path) -> str:
    """Returns one hash over the relative names and bytes of all files but the manifest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = (
        f"{path.relative_to(folder).as_posix()} {hash_file(path)}"
        for path in files
        if path != folder / MANIFEST
    )
    return hash_text("\n".join(lines))


def canonical_json(config: BaseModel) -> str:
    """Returns a configuration as JSON that is the same text for the same values."""
    return json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


@contextmanager
def new_artifact(path: Path, kind: str, producer: str, config: BaseModel) -> Iterator[Path]:
    """Yields an empty folder that becomes the artifact `path` when the block ends well.

    If the block raises, or the process dies, nothing appears at `path`. An artifact that lies
    there already is replaced.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    started = time.monotonic()
    try:
        with naming_full_disk(path.parent, f" while writing {kind}"):
            partial.mkdir(parents=True)
            yield partial
            manifest = Manifest(
                kind=kind,
                schema_version=SCHEMA_VERSION,
                producer=producer,
                config_hash=hash_text(canonical_json(config)),
                content_hash=hash_folder(partial),
                seconds=round(time.monotonic() - started, 3),
                created=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            write_manifest(partial, manifest)
            put_in_place(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def put_in_place(folder: Path, path: Path) -> None:
    """Renames a finished folder to `path`, moving aside what lay there before."""
    if path.is_dir() and any(path.iterdir()):
        old = path.with_name(f".{path.name}.old-{os.getpid()}")
        path.rename(old)
        folder.rename(path)
        shutil.rmtree(old)
    else:
        folder.rename(path)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest whole: beside, then renamed."""
    partial = folder / f".{MANIFEST}.partial"
    partial.write_text(manifest.model_dump_json(indent=2) + "\n")
    partial.rename(folder / MANIFEST)


def read_manifest(path: Path) -> Manifest:
    """Reads the manifest of an artifact folder."""
    try:
        return Manifest.model_validate_json((path / MANIFEST).read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{path} is not an artifact of RealMat (it has no readable {MANIFEST}): give a folder "
            "that a stage has written."
        ) from error
    except ValidationError as error:
        raise UserError(
            f"{path / MANIFEST} cannot be read as an artifact's manifest: write the artifact again."
        ) from error


def point(source: Path, target: Path) -> None:
    """Makes the artifact appear at `target` as its manifest and the name of its folder.

    An engine that carries outputs from task to task then carries a few hundred bytes.
    """
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shutil.copy2(source / MANIFEST, partial / MANIFEST)
    (partial / LOCATION).write_text(str(source.resolve()))
    put_in_place(partial, target)


def link(source: Path, target: Path) -> None:
    """Makes the artifact appear at `target`, by hard links where the file system has them."""
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, partial, copy_function=_link_file)
    put_in_place(partial, target)


def _link_file(source: str, target: str) -> str:
    with suppress(OSError):
        os.link(source, target)
        return target
    return str(shutil.copy2(source, target))


def located(path: Path) -> Path:
    """Returns the folder that holds an artifact's files; `path` itself unless it only names it."""
    note = path / LOCATION
    if not note.is_file():
        return path
    folder = Path(note.read_text())
    if (folder / MANIFEST).is_file() and _content(folder) == _content(path):
        return folder
    raise UserError(
        f"{path} names the artifact {folder}, which is gone or was made again: mount the volume "
        f"that holds it, or run the stage '{read_manifest(path).producer}' again."
    )


def _content(path: Path) -> str:
    return read_manifest(path).content_hash


def open_artifact(path: Path, kind: str) -> Path:
    """Returns the artifact's folder after checking that it is of the expected kind."""
    path = located(path)
    manifest = read_manifest(path)
    if manifest.kind != kind:
        raise UserError(
            f"{path} holds an artifact of kind '{manifest.kind}', but '{kind}' was expected here: "
            f"give the output of the stage that writes '{kind}'."
        )
    if manifest.schema_version != SCHEMA_VERSION:
        raise UserError(
            f"{path} was written with artifact schema {manifest.schema_version}, this program "
            f"reads {SCHEMA_VERSION}: run the stage '{manifest.producer}' again."
        )
    return path
