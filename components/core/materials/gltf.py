"""A material as a binary glTF 2.0 file (.glb), written without a library.

Core glTF has no displacement, so the file holds the displaced mesh itself; relief finer than its
vertices comes as a normal map. Metalness and roughness share one texture, as glTF wants.
"""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.core.materials.files import write_whole
from components.core.materials.material import FloatArray, Material
from components.core.materials.pixels import encode_normals, png_8

_LINEAR, _REPEAT, _MIPMAPS = 9729, 10497, 9987
_FLOAT, _UINT32 = 5126, 5125
_VERTICES, _INDICES = 34962, 34963


def write_glb(
    material: Material, file: Path, *, resolution: int = 128, displacement: float = 0.06
) -> None:
    """A binary glTF of the displaced tile, one metre wide, y up, with its textures inside.

    resolution: mesh cells along a side. displacement: the range of heights in sides of the tile.
    """
    write_whole(file, glb(material, resolution, displacement))


def glb(material: Material, resolution: int = 128, displacement: float = 0.06) -> bytes:
    """The bytes that `write_glb` writes."""
    heights = _corner_heights(material.height, resolution)
    positions, normals, texcoords, triangles = _mesh(heights, displacement)
    arrays = [positions, normals, texcoords, triangles]
    images = [png_8(material.albedo), _metallic_roughness(material)]
    if max(material.size) > resolution:
        images.append(_fine_normals(material, heights, displacement))
    blobs = [array.tobytes() for array in arrays] + images
    document = _document(material, positions, len(positions), triangles.size, blobs)
    return _container(document, b"".join(_padded(blob, b"\0") for blob in blobs))


def _corner_heights(height: FloatArray, resolution: int) -> FloatArray:
    """(n + 1, n + 1) heights at the corners of n × n cells, the border's continued outwards."""
    rows, columns = height.shape
    down, across = rows / resolution / 2, columns / resolution / 2
    ring = int(np.ceil(max(down, across))) + 1
    image = Image.fromarray(np.pad(height, ring, mode="edge"))
    method = Image.Resampling.BOX if rows > resolution else Image.Resampling.BILINEAR
    box = (ring - across, ring - down, ring + columns + across, ring + rows + down)
    return np.asarray(image.resize((resolution + 1, resolution + 1), method, box=box), np.float32)


def _mesh(
    heights: FloatArray, displacement: float
) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.uint32]]:
    """Positions, normals (v, 3), texture coordinates (v, 2) and triangles (t, 3), y up."""
    count = heights.shape[0]
    along = np.linspace(0.0, 1.0, count, dtype=np.float32)
    u, v = np.meshgrid(along, along)
    lift = (heights - 0.5) * displacement
    slope_v, slope_u = np.gradient(lift, 1.0 / (count - 1))
    normals = np.stack([-slope_u, np.ones_like(lift), -slope_v], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    positions = np.stack([u - 0.5, lift, v - 0.5], axis=-1)
    index = np.arange(count * count, dtype=np.uint32).reshape(count, count)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.stack([a, c, b, b, c, d], axis=-1).reshape(-1, 3)
    flat = [np.ascontiguousarray(x.reshape(-1, 3), np.float32) for x in (positions, normals)]
    return flat[0], flat[1], np.stack([u, v], axis=-1).reshape(-1, 2), triangles


def _metallic_roughness(material: Material) -> bytes:
    """glTF's packing: roughness in green, metalness in blue."""
    red = np.ones_like(material.roughness)
    return png_8(np.stack([red, material.roughness, material.metallic], axis=-1))


def _fine_normals(material: Material, heights: FloatArray, displacement: float) -> bytes:
    """Normals of the relief that the mesh is too coarse for."""
    rows, columns = material.size
    coarse = Image.fromarray(heights).resize((columns, rows), Image.Resampling.BILINEAR)
    fine = np.clip(material.height - np.asarray(coarse) + 0.5, 0.0, 1.0).astype(np.float32)
    return png_8(encode_normals(replace(material, height=fine).normal(displacement)))


def _document(
    material: Material, positions: FloatArray, vertices: int, indices: int, blobs: list[bytes]
) -> dict[str, Any]:
    """The JSON part: four arrays, then the images, one buffer view each."""
    views: list[dict[str, Any]] = []
    offset = 0
    for number, blob in enumerate(blobs):
        view: dict[str, Any] = {"buffer": 0, "byteOffset": offset, "byteLength": len(blob)}
        if number < 4:
            view["target"] = _INDICES if number == 3 else _VERTICES
        views.append(view)
        offset += len(_padded(blob, b"\0"))
    count = len(blobs) - 4
    shading: dict[str, Any] = {
        "name": material.caption or "material",
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0},
            "metallicRoughnessTexture": {"index": 1},
        },
    }
    if count == 3:
        shading["normalTexture"] = {"index": 2}
    attributes = {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}
    return {
        "asset": {"version": "2.0", "generator": "RealMat"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 3, "material": 0}]}],
        "materials": [shading],
        "textures": [{"source": number, "sampler": 0} for number in range(count)],
        "images": [{"bufferView": 4 + n, "mimeType": "image/png"} for n in range(count)],
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
            _accessor(3, _UINT32, indices, "SCALAR"),
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
