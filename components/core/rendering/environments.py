"""Environment light: what falls on a material from all around, of equal strength everywhere.

Paper, section 5 ("Rendering"): environments are "normalized to preserve the same irradiance on a
flat plane per RGB channel, to prevent overall intensity and color differences". The irradiance
chosen here is pi, so a white Lambertian plane has radiance 1.

Convention (Mitsuba's): a latitude-longitude image whose row i lies at the polar angle
pi * i / (h - 1), straight up in row 0 and straight down in the last, and whose column j is centred
at the azimuth 2 pi * (j + 0.5) / w. The material faces up, so the image's upper half lights it.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.core.catalogues.address import environments_folders
from components.core.catalogues.item import set_aside
from components.core.errors import UserError
from components.core.materials.headers import refuse_bomb
from components.core.materials.material import BLOCK

FloatArray = NDArray[np.float32]

HEIGHT, WIDTH = 128, 256
SUFFIXES = (".hdr", ".exr")
SHARE = 0.25
"""Of the files of a folder that may be damaged; more says that something else is wrong."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Environment:
    """radiance: (h, w, 3) float32, linear, latitude-longitude, sky in the upper half.

    notes: what had to be done to read it, a sentence each.
    """

    name: str
    radiance: FloatArray
    notes: tuple[str, ...] = ()


@functools.cache
def cosine_weights(height: int, width: int) -> NDArray[np.float64]:
    """(h,) weights w with irradiance = sum_ij w_i L_ij for the up-facing plane.

    The exact integral of cos(theta) sin(theta) over the upper hemisphere for radiance interpolated
    linearly between rows, by a quadrature far finer than the rows.
    """
    steps = 64 * height
    theta = (np.arange(steps) + 0.5) * (np.pi / 2) / steps
    row = theta / np.pi * (height - 1)
    below = np.floor(row).astype(int)
    share = row - below
    measure = np.cos(theta) * np.sin(theta) * (np.pi / 2 / steps) * (2 * np.pi / width)
    weights = np.zeros(height)
    np.add.at(weights, below, measure * (1 - share))
    np.add.at(weights, below + 1, measure * share)
    return weights


def irradiance(radiance: FloatArray) -> NDArray[np.float64]:
    """(3,) irradiance on the up-facing plane under a (h, w, 3) radiance image."""
    weights = cosine_weights(*radiance.shape[:2])
    return np.einsum("h,hwc->c", weights, radiance.astype(np.float64))


def normalised(environment: Environment) -> Environment:
    """The same light scaled to irradiance pi on the up-facing plane in each RGB channel."""
    found = irradiance(environment.radiance)
    if not np.isfinite(found).all() or (found <= 0.0).any():
        raise UserError(
            f"{environment.name}: no light comes from above in at least one colour channel; "
            "expected a latitude-longitude environment with its sky in the upper half"
        )
    scaled = environment.radiance * (np.pi / found)
    return replace(environment, radiance=scaled.astype(np.float32))


def load_environment(path: Path | str) -> Environment:
    """A .hdr or .exr latitude-longitude file as a normalised (128, 256, 3) environment."""
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise UserError(f"{file}: expected an environment in .hdr or .exr format")
    if not file.is_file():
        raise UserError(f"{file}: there is no such environment file")
    radiance = _read(file)
    rows, columns = radiance.shape[:2]
    if not 1.8 <= columns / rows <= 2.2 or rows < 16:
        raise UserError(
            f"{file}: an image of {columns} x {rows} pixels is no environment; expected a "
            "latitude-longitude image twice as wide as high, at least 32 x 16"
        )
    # Lens corrections leave slightly negative pixels in otherwise good files.
    negative = int((radiance < 0).any(axis=-1).sum())
    notes = (f"{negative} pixels of negative radiance count as dark",) if negative else ()
    np.maximum(radiance, 0.0, out=radiance)
    return normalised(Environment(file.stem, resampled(radiance), notes))


def load_environments(uri: str | Path) -> list[Environment]:
    """All .hdr and .exr files of a folder, by name; "" stands for the embedded environments.

    uri: a folder, or one file, here or in a storage that `local_path` knows, or the address of a
    catalogue (`catalogues.address`), or several of these with commas between them.
    """
    return usable_environments(uri).environments


class Found(NamedTuple):
    """Environments, and the files that are none, with reasons."""

    environments: list[Environment]
    left_out: list[tuple[Path, str]]
    files: Sequence[Path] = ()
    notes: Sequence[tuple[Path, str]] = ()


def usable_environments(uri: str | Path) -> Found:
    """As `load_environments`, with what was left out and is to be told."""
    return environments_in(environments_folders(str(uri)))


def environments_in(places: Sequence[Path]) -> Found:
    """The environments of folders and files on this machine, one place after the other; those that
    are embedded if there is none.

    A file that is given by itself must be one; in a folder damaged files are set aside, at most
    `SHARE` of them.
    """
    if not places:
        from components.core.rendering.embedded import embedded_environments

        return Found(embedded_environments(), [])
    environments: dict[Path, Environment] = {}
    left_out: list[tuple[Path, str]] = []
    for place in places:
        found, lacking = _read_place(place)
        environments.update(found)
        left_out += lacking
    notes = [(file, note) for file, light in environments.items() for note in light.notes]
    for file, note in notes:
        log.warning("%s: %s", file, note)
    return Found(list(environments.values()), left_out, list(environments), notes)


def _read_place(root: Path) -> tuple[dict[Path, Environment], list[tuple[Path, str]]]:
    """The environments of a folder, or one, and what is none with the reason."""
    if root.is_file():
        return {root: load_environment(root)}, []
    files = sorted(
        file
        for file in root.rglob("*")
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )
    if not files:
        raise UserError(f"{root}: no environment found; expected .hdr or .exr files in it")
    environments: dict[Path, Environment] = {}
    damaged: list[tuple[Path, str]] = []
    for file in files:
        try:
            environments[file] = load_environment(file)
        except UserError as error:
            damaged.append((file, str(error).removeprefix(f"{file}: ")))
            if len(damaged) > SHARE * len(files):
                raise
            log.warning("left out: %s", error)
    # What a catalogue could not give is told too.
    return environments, [*((root / name, why) for name, why in set_aside(root)), *damaged]


def resampled(radiance: FloatArray, height: int = HEIGHT, width: int = WIDTH) -> FloatArray:
    """An image of pixel areas (h', w', 3) to the rows and columns of this module's convention.

    Radiance is averaged by solid angle, so light is neither gained nor lost; it also spreads a
    sun of one bright pixel over the target's pixel, the only taming of fireflies there is.
    """
    rows, columns = radiance.shape[:2]
    repeat = max(1, -(-2 * height // rows)), max(1, -(-2 * width // columns))
    fine_rows, fine_columns = rows * repeat[0], columns * repeat[1]

    theta = (np.arange(fine_rows) + 0.5) / fine_rows * np.pi
    node = theta / np.pi * (height - 1)
    hats = np.maximum(0.0, 1.0 - np.abs(np.arange(height)[:, None] - node)) * np.sin(theta)
    hats /= hats.sum(axis=1, keepdims=True)

    boxes = np.empty((fine_rows, width, 3))
    # Sums in double precision of the image as a whole would take seventy bytes a pixel.
    step = max(1, BLOCK // (8 * fine_columns))
    for top in range(0, rows, step):
        block = radiance[top : top + step].repeat(repeat[0], axis=0).repeat(repeat[1], axis=1)
        boxes[top * repeat[0] :][: len(block)] = _means(block.astype(np.float64), width)
    return np.einsum("Hh,hwc->Hwc", hats, boxes).astype(np.float32)


def _means(rows: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """(h, width, 3) means of (h, w, 3) over `width` equal parts of each row."""
    columns = rows.shape[1]
    edges = np.linspace(0, columns, width + 1)
    total = np.concatenate([np.zeros((len(rows), 1, 3)), np.cumsum(rows, axis=1)], axis=1)
    whole = np.minimum(edges.astype(int), columns - 1)
    at_edges = total[:, whole] + (edges - whole)[None, :, None] * rows[:, whole]
    return np.diff(at_edges, axis=1) * (width / columns)


def _read(file: Path) -> FloatArray:
    """(h, w, 3) float32 of a .hdr or .exr file; UserError when it is damaged."""
    from components.core.rendering.floats import read_floats

    refuse_bomb(file)
    try:
        radiance = read_floats(file, rgb=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(
            f"{file}: not a readable environment ({_first_line(error)}); expected a complete "
            f"{file.suffix.lower()} image"
        ) from error
    if not np.isfinite(radiance).all():
        raise UserError(f"{file}: the environment holds NaN or infinite radiance; expected numbers")
    return radiance


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
