"""A material made elsewhere: a PBR set of map files as libraries and artists hand them out.

Missing maps get defaults that add nothing: a height from the normal map where there is one, else a
flat plane; a roughness of 0.7; no metal. `metadata["defaults"]` names the maps that were missing,
`metadata["notes"]` tells in a sentence each how doubtful files were read.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from components.core.errors import UserError
from components.core.materials.files import read_sidecar
from components.core.materials.material import FloatArray, Material, resize_rows
from components.core.materials.names import category_of, map_files, words_of
from components.core.materials.pixels import Raw, as_color, as_grey, read_raw
from components.core.rendering.color import linear_to_srgb

DEFAULT_ROUGHNESS = 0.7
DEFAULT_METALLIC = 0.0
HEIGHT_RANGE = 0.06
"""The displacement, in sides of the tile, for which heights are made from normals."""
COLOURED = ("albedo", "normal", "normal_dx", "packed")
"""Maps whose channels are not averaged."""
SHAPES = 0.02
"""How far the logarithms of two maps' aspect ratios may differ, as rounding makes them."""


def load_pbr_set(folder: Path, size: int | None = None) -> Material:
    """The PBR set in a folder as a material of size × size, or of the albedo's own size.

    UserError if there is no albedo or a map is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder with the maps of a material")
    files = map_files(folder)
    if "albedo" not in files:
        raise UserError(
            f"{folder}: no albedo map found; expected a file named like albedo.png, *_Color.jpg "
            "or *_diff_1k.png"
        )
    told: dict[str, list[str]] = {}
    shapes: dict[str, Shape] = {}
    maps: dict[str, FloatArray] = {}
    # One after the other, the albedo first, whose size may be that of all: they may be large.
    for role in sorted(files, key=lambda role: role != "albedo"):
        shapes[role], maps[role], told[role] = _read(role, files[role], size)
        size = size or maps["albedo"].shape[0]
    notes = [f"{files[role].name}: {note}" for role in files for note in told[role]]
    _compare_sizes(folder, shapes, files, notes)
    if _is_normal_map(maps.get("metallic")):
        notes.append(f"{files['metallic'].name}: a normal map by its pixels, not used as metalness")
        normals = maps.pop("metallic")
        maps.setdefault("normal", normals)
        files.pop("metallic")
    return _material(folder, maps, {role: file.name for role, file in files.items()}, notes)


def height_from_normals(normals: FloatArray) -> FloatArray:
    """Heights (H, W) in [0, 1] whose slopes fit OpenGL normals (H, W, 3) encoded in [0, 1].

    Frankot and Chellappa 1988: the least-squares surface, by division in the Fourier domain; it
    takes the map to tile. Mean 0.5.
    """
    rows, columns = normals.shape[:2]
    across = np.fft.fftfreq(columns)[None, :] * columns * 2 * np.pi
    down = np.fft.fftfreq(rows)[:, None] * rows * 2 * np.pi
    up = np.maximum(normals[..., 2].astype(np.float64) * 2 - 1, 0.1)
    # Slopes per side of the tile; rows run downwards and the normal's y upwards. In place, for what
    # is complex has four times the bytes of the map.
    surface = np.fft.fft2(-(normals[..., 0].astype(np.float64) * 2 - 1) / up)
    np.multiply(-1j * across, surface, out=surface)
    slope = np.fft.fft2((normals[..., 1].astype(np.float64) * 2 - 1) / up)
    del up
    surface -= np.multiply(1j * down, slope, out=slope)
    del slope
    square = across**2 + down**2
    square[0, 0] = 1.0
    surface /= square
    del square
    surface[0, 0] = 0.0
    height = np.fft.ifft2(surface).real / HEIGHT_RANGE + 0.5
    return np.clip(height, 0.0, 1.0).astype(np.float32)


class Shape(NamedTuple):
    """Of a map as its file has it, in pixels, and whether it is the same everywhere."""

    high: int
    wide: int
    flat: bool


def _read(role: str, file: Path, size: int | None) -> tuple[Shape, FloatArray, list[str]]:
    """A map's shape, its centre square in [0, 1] at size × size or as it is, colours as sRGB, and
    what might not be meant so."""
    raw = read_raw(file)
    low, high = raw.extremes()
    rows, columns = raw.codes.shape[:2]
    side = min(rows, columns)
    top, left = (rows - side) // 2, (columns - side) // 2
    outside = role in ("height", "depth") and (low < 0 or high > 1)

    def read(part: slice) -> FloatArray:
        values = raw.values(slice(top + part.start, top + part.stop))[:, left : left + side]
        if role == "albedo" and raw.linear:
            values = linear_to_srgb(np.maximum(values, 0.0))
        if outside:
            values = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
        return np.clip(values, 0.0, 1.0)

    told = [*raw.notes, *_doubts(role, raw, low, high)]
    square = (side, side, *raw.codes.shape[2:])
    return Shape(rows, columns, low == high), resize_rows(read, square, size or side), told


def _doubts(role: str, raw: Raw, low: float, high: float) -> list[str]:
    """What might not be meant as it was read."""
    told = _colours(raw) if role == "albedo" else []
    if role == "depth":
        told.append("a depth, so read as an inverted height")
    if role in ("height", "depth"):
        if low < 0 or high > 1:
            told.append(f"heights from {low:.3g} to {high:.3g} are brought to 0 to 1")
        elif high <= 0:
            told.append("black everywhere, so not used")
    elif low < 0 or high > 1:
        told.append(f"values from {low:.3g} to {high:.3g} are cut to 0 to 1")
    rows, columns = raw.codes.shape[:2]
    if rows != columns:
        told.append(f"{columns} x {rows} pixels: the centre square is used")
    return told


def _colours(raw: Raw) -> list[str]:
    """Which way a colour map was read, where its file leaves a doubt."""
    told = []
    if raw.floating:
        told.append("holds floats, so its colours are read as linear")
    elif raw.linear:
        told.append("its header says gamma 1, so its colours are read as linear")
    elif raw.deep:
        told.append("has 16 bits, which some write linear; its colours are read as sRGB")
    if raw.codes.ndim == 2:
        told.append("has one channel, so its colours are greys")
    return told


def _compare_sizes(
    folder: Path, shapes: dict[str, Shape], files: dict[str, Path], notes: list[str]
) -> None:
    """Tell of maps of other sizes than the albedo; UserError if one has another shape, for then
    nothing says which part of the one lies on which of the other."""
    rows, columns, _ = shapes["albedo"]
    for role, file in files.items():
        high, wide, flat = shapes[role]
        if (high, wide) == (rows, columns):
            continue
        sizes = f"{wide} x {high} pixels, but the albedo {columns} x {rows}"
        if abs(np.log(wide * rows / (high * columns))) > SHAPES and not flat:
            raise UserError(f"{folder}: {file.name} has {sizes}; expected maps of one shape")
        notes.append(f"{file.name}: {sizes}: all are brought to one size")


def _material(
    folder: Path, maps: dict[str, FloatArray], names: dict[str, str], notes: list[str]
) -> Material:
    albedo = as_color(maps["albedo"])
    full = np.ones(albedo.shape[:2], np.float32)
    packed = maps.get("packed")
    grey = {role: as_grey(values) for role, values in maps.items() if role not in COLOURED}
    if packed is not None and packed.ndim == 3:
        # Occlusion, roughness, metalness in the three channels.
        grey.setdefault("roughness", np.ascontiguousarray(packed[..., 1]))
        grey.setdefault("metallic", np.ascontiguousarray(packed[..., 2]))
    if "gloss" in grey:
        grey.setdefault("roughness", 1.0 - grey["gloss"])
    defaults = [name for name in ("roughness", "metallic") if name not in grey]
    height, derived = _height(grey, maps)
    if derived:
        defaults.insert(0, "height")
    name = folder.resolve().name
    known = {"caption": " ".join(words_of(name)), "category": category_of(name)}
    known.update({key: value for key, value in read_sidecar(folder).items() if value})
    return Material(
        albedo=albedo,
        height=height if height is not None else full * 0.5,
        roughness=grey.get("roughness", full * DEFAULT_ROUGHNESS),
        metallic=grey.get("metallic", full * DEFAULT_METALLIC),
        caption=str(known.pop("caption")),
        category=str(known.pop("category")),
        metadata={**known, "source": name, "files": names, "defaults": defaults, "notes": notes},
    )


def _height(
    grey: dict[str, FloatArray], maps: dict[str, FloatArray]
) -> tuple[FloatArray | None, bool]:
    """The height by the best map there is, and whether it had to be made up.

    A map that is black everywhere, where an exporter had nothing to write, is none.
    """
    if "height" in grey and grey["height"].max() > 0:
        return grey["height"], False
    if "depth" in grey and grey["depth"].max() > 0:
        return 1.0 - grey["depth"], False
    for role in ("normal", "normal_dx"):
        normals = maps.get(role)
        if normals is not None and normals.ndim == 3:
            up = 1.0 - normals[..., 1] if role == "normal_dx" else normals[..., 1]
            return height_from_normals(np.stack([normals[..., 0], up, normals[..., 2]], -1)), True
    return None, True


def _is_normal_map(values: FloatArray | None) -> bool:
    """Whether a map's mean colour is the pale blue of flat normals."""
    if values is None or values.ndim == 2:
        return False
    red, green, blue = values.mean(axis=(0, 1))
    return bool(abs(red - 0.5) < 0.1 and abs(green - 0.5) < 0.1 and blue > 0.75)
