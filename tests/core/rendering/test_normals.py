"""Vertex normals against a mesh library's formula by loops, Mitsuba's own, and themselves."""

import numpy as np
import pytest
from numpy.typing import NDArray

from components.core.rendering.mesh import lattice
from components.core.rendering.normals import VertexNormals, lattice_normals
from components.core.rendering.variant import mitsuba

FloatArray = NDArray[np.float32]


def surface(count: int, rough: float) -> tuple[FloatArray, FloatArray, NDArray[np.uint32]]:
    """Heights, vertices and triangles."""
    points, triangles = lattice(count, 0)
    rng = np.random.default_rng(1)
    heights = (rng.random((count, count)) * rough).astype(np.float32)
    return heights, np.column_stack([points, heights.ravel()]), triangles


def by_loops(vertices: FloatArray, triangles: NDArray[np.uint32]) -> NDArray[np.float64]:
    found = np.zeros((len(vertices), 3))
    corners = vertices.astype(np.float64)[triangles]
    for triangle, points in zip(triangles, corners, strict=True):
        face = np.cross(points[1] - points[0], points[2] - points[0])
        face /= np.linalg.norm(face)
        for k in range(3):
            one, other = points[(k + 1) % 3] - points[k], points[(k + 2) % 3] - points[k]
            cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
            found[triangle[k]] += np.arccos(cosine) * face
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("rough", [0.0, 0.05, 2.0])
def test_angles_weigh_the_triangles_around_a_vertex(rough: float) -> None:
    heights, vertices, triangles = surface(9, rough)
    wanted = by_loops(vertices, triangles)
    np.testing.assert_allclose(VertexNormals(triangles, 81)(vertices), wanted, atol=2e-4)
    np.testing.assert_allclose(lattice_normals(heights, 1 / 9), wanted, atol=2e-4)


def test_a_displaced_mesh_is_shaded_as_mitsuba_would() -> None:
    heights, vertices, triangles = surface(16, 0.1)
    mi = mitsuba()
    mesh = mi.Mesh("m", len(vertices), len(triangles), has_vertex_normals=True)
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = vertices.ravel()
    parameters["faces"] = triangles.ravel()
    parameters.update()
    theirs = np.array(mi.traverse(mesh)["vertex_normals"]).reshape(-1, 3)
    np.testing.assert_allclose(lattice_normals(heights, 1 / 16), theirs, atol=1e-3)


def test_a_vertex_without_area_has_a_normal() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0], [5, 5, 5]], np.float32)
    found = VertexNormals(np.array([[0, 1, 2]]), 4)(vertices)
    np.testing.assert_array_equal(found, np.tile(np.float32([0, 0, 1]), (4, 1)))
