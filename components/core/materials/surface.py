"""A displaced tile or ball as plain arrays, for formats that hold a mesh, not a height map.

The tile is one metre wide, y up, image right is +x and image down is +z; tiles of that size go
around the ball. Relief finer than the mesh comes as a normal map, so that mesh and map together
show the height once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.core.materials.material import FloatArray, Material


@dataclass(frozen=True)
class Surface:
    """positions, normals (V, 3), texcoords (V, 2) with v downwards, triangles (T, 3).

    fine_normals: OpenGL unit normals (H, W, 3) of what the mesh leaves out; None if nothing.
    along: (V, 3) or (3,), where the image's right points to; not normal to `normals` yet.
    """

    positions: FloatArray
    normals: FloatArray
    texcoords: FloatArray
    triangles: NDArray[np.uint32]
    fine_normals: FloatArray | None
    along: FloatArray = field(default_factory=lambda: np.array([1.0, 0.0, 0.0], np.float32))


def displaced(material: Material, resolution: int, displacement: float) -> Surface:
    """The tile with resolution × resolution cells; heights span `displacement` sides of the tile.

    A resolution of 1 is a flat plane whose relief is all in the normal map.
    """
    if resolution == 1:
        flat = np.full((2, 2), 0.5, np.float32)
        return Surface(*_mesh(flat, 0.0), material.normal(displacement))
    heights = _corner_heights(material.height, resolution)
    fine = None
    if max(material.size) > resolution:
        fine = _fine_normals(material, heights, displacement)
    return Surface(*_mesh(heights, displacement), fine)


AROUND = 4
"""Tiles along the ball's equator; half as many from pole to pole."""


def ball(material: Material, resolution: int, displacement: float) -> Surface:
    """A ball of `AROUND` tiles around and half as many down, resolution² cells each."""
    heights = _corner_heights(material.height, resolution)
    fine = None
    if max(material.size) > resolution:
        fine = _fine_normals(material, heights, displacement)
    rows, columns = AROUND // 2 * resolution, AROUND * resolution
    down, right = np.meshgrid(np.arange(rows + 1), np.arange(columns + 1), indexing="ij")
    latitude, longitude = np.pi * down / rows, 2 * np.pi * right / columns
    # The last corner of one tile is the first one of the next.
    relief = (heights[down % resolution, right % resolution] - 0.5) * displacement
    # It vanishes at the poles, where all columns meet in one point.
    relief = relief * np.minimum(1.0, 8 * np.sin(latitude))
    radius = AROUND / (2 * np.pi) + relief
    outwards = np.stack(
        [
            -np.sin(latitude) * np.sin(longitude),
            np.cos(latitude),
            -np.sin(latitude) * np.cos(longitude),
        ],
        axis=-1,
    )
    positions = radius[..., None] * outwards
    along = np.stack([-np.cos(longitude), 0 * longitude, np.sin(longitude)], axis=-1)
    normals = _ball_normals(positions, outwards)
    flat = [np.ascontiguousarray(x.reshape(-1, 3), np.float32) for x in (positions, normals, along)]
    texcoords = np.stack([right, down], axis=-1).reshape(-1, 2) / np.float32(resolution)
    triangles = _lattice_triangles(rows + 1, columns + 1)
    return Surface(flat[0], flat[1], texcoords.astype(np.float32), triangles, fine, flat[2])


def _ball_normals(
    positions: NDArray[np.float64], outwards: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From the neighbours, which go on across the seam; at the poles the way out."""
    rightwards = np.pad(positions, ((0, 0), (1, 1), (0, 0)))
    rightwards[:, 0], rightwards[:, -1] = positions[:, -2], positions[:, 1]
    slope_right = rightwards[:, 2:] - rightwards[:, :-2]
    slope_down = np.gradient(positions, axis=0)
    normals = np.cross(slope_down, slope_right)
    normals[[0, -1]] = outwards[[0, -1]]
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def _lattice_triangles(rows: int, columns: int) -> NDArray[np.uint32]:
    """Two for each cell of a lattice of rows × columns corners, seen from its outer side."""
    index = np.arange(rows * columns, dtype=np.uint32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    return np.stack([a, c, b, b, c, d], axis=-1).reshape(-1, 3)


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
    triangles = _lattice_triangles(count, count)
    flat = [np.ascontiguousarray(x.reshape(-1, 3), np.float32) for x in (positions, normals)]
    return flat[0], flat[1], np.stack([u, v], axis=-1).reshape(-1, 2), triangles


def _fine_normals(material: Material, heights: FloatArray, displacement: float) -> FloatArray:
    """Normals of the relief that the mesh is too coarse for."""
    rows, columns = material.size
    coarse = Image.fromarray(heights).resize((columns, rows), Image.Resampling.BILINEAR)
    fine = np.clip(material.height - np.asarray(coarse) + 0.5, 0.0, 1.0).astype(np.float32)
    return replace(material, height=fine).normal(displacement)
