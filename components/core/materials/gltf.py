"""A material as a binary glTF 2.0 file (.glb), written without a library.

Core glTF has no displacement, so the file holds the displaced mesh itself; relief finer than its
vertices comes as a normal map. Occlusion, roughness and metalness share one texture, as glTF
wants.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.core.materials.files import write_whole
from components.core.materials.material import Material
from components.core.materials.occlusion import occlusion
from components.core.materials.pixels import encode_normals, png_8
from components.core.materials.surface import Surface, ball, displaced

_LINEAR, _REPEAT, _MIPMAPS = 9729, 10497, 9987
_FLOAT, _UINT32 = 5126, 5125
_VERTICES, _INDICES = 34962, 34963
ARRAYS = 5
"""Buffer views before the images: positions, normals, texture coordinates, tangents, indices."""


def write_glb(
    material: Material, file: Path, *, resolution: int = 128, displacement: float = 0.06
) -> None:
    """A binary glTF of the displaced tile, one metre wide, y up, with its textures inside.

    resolution: mesh cells along a side; 1 gives a flat plane with a normal map. displacement: the
    range of heights in sides of the tile.
    """
    write_whole(file, glb(material, resolution, displacement))


def glb(
    material: Material,
    resolution: int | None = None,
    displacement: float = 0.06,
    shape: Literal["plane", "sphere"] = "plane",
) -> bytes:
    """The bytes that `write_glb` writes; a sphere has cells of half that fineness."""
    if shape == "sphere":
        surface = ball(material, resolution or 64, displacement)
    else:
        surface = displaced(material, resolution or 128, displacement)
    arrays = [
        surface.positions, surface.normals, surface.texcoords, _tangents(surface),
        surface.triangles,
    ]  # fmt: skip
    images = [png_8(material.albedo), _packed(material, displacement)]
    if surface.fine_normals is not None:
        images.append(png_8(encode_normals(surface.fine_normals)))
    blobs = [array.tobytes() for array in arrays] + images
    document = _document(material, surface, blobs)
    return _container(document, b"".join(_padded(blob, b"\0") for blob in blobs))


def _tangents(surface: Surface) -> NDArray[np.float32]:
    """(V, 4): towards the image's right along the surface, with the sign that makes up of green."""
    normals = surface.normals
    across = np.sum(surface.along * normals, axis=1, keepdims=True)
    along = surface.along - across * normals
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    return np.pad(along, ((0, 0), (0, 1)), constant_values=1.0).astype(np.float32)


def _packed(material: Material, displacement: float) -> bytes:
    """glTF's packing: occlusion in red, roughness in green, metalness in blue."""
    red = occlusion(material.height, displacement)
    return png_8(np.stack([red, material.roughness, material.metallic], axis=-1))


def _document(material: Material, surface: Surface, blobs: list[bytes]) -> dict[str, Any]:
    """The JSON part: the arrays, then the images, one buffer view each."""
    positions, vertices = surface.positions, len(surface.positions)
    indices = surface.triangles.size
    views: list[dict[str, Any]] = []
    offset = 0
    for number, blob in enumerate(blobs):
        view: dict[str, Any] = {"buffer": 0, "byteOffset": offset, "byteLength": len(blob)}
        if number < ARRAYS:
            view["target"] = _INDICES if number == ARRAYS - 1 else _VERTICES
        views.append(view)
        offset += len(_padded(blob, b"\0"))
    count = len(blobs) - ARRAYS
    shading: dict[str, Any] = {
        "name": material.caption or "material",
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0},
            "metallicRoughnessTexture": {"index": 1},
        },
        "occlusionTexture": {"index": 1},
    }
    if count == 3:
        shading["normalTexture"] = {"index": 2}
    attributes = {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2, "TANGENT": 3}
    return {
        "asset": {"version": "2.0", "generator": "RealMat", "extras": material.metadata},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [
            {"primitives": [{"attributes": attributes, "indices": ARRAYS - 1, "material": 0}]}
        ],
        "materials": [shading],
        "textures": [{"source": number, "sampler": 0} for number in range(count)],
        "images": [{"bufferView": ARRAYS + n, "mimeType": "image/png"} for n in range(count)],
        "samplers": [
            {"magFilter": _LINEAR, "minFilter": _MIPMAPS, "wrapS": _REPEAT, "wrapT": _REPEAT}
        ],
        "accessors": [
            {
                **_accessor(0, _FLOAT, vertices, "VEC3"),
                "min": [float(x) for x in positions.min(axis=0)],
                "max": [float(x) for x in positions.max(axis=0)],
            },
            _accessor(1, _FLOAT, vertices, "VEC3"),
            _accessor(2, _FLOAT, vertices, "VEC2"),
            _accessor(3, _FLOAT, vertices, "VEC4"),
            _accessor(4, _UINT32, indices, "SCALAR"),
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": offset}],
    }


def _accessor(view: int, component: int, count: int, kind: str) -> dict[str, Any]:
    return {"bufferView": view, "componentType": component, "count": count, "type": kind}


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    """The binary glTF file: header, JSON chunk, binary chunk."""
    text = _padded(json.dumps(document, separators=(",", ":")).encode(), b" ")
    length = 12 + 8 + len(text) + 8 + len(binary)
    return (
        struct.pack("<4sII", b"glTF", 2, length)
        + struct.pack("<I4s", len(text), b"JSON")
        + text
        + struct.pack("<I4s", len(binary), b"BIN\0")
        + binary
    )


def _padded(content: bytes, filler: bytes) -> bytes:
    """Filled to a multiple of four bytes, as glTF wants every part."""
    return content + filler * (-len(content) % 4)
