"""A material on a displaced sphere: the preview that shows gloss and relief at every angle.

World: the sphere of radius 1 is at the origin, +z is up, the camera looks along +y. The tile goes
around it `around` times, so that it is as wide at the equator as it is high; the seam is behind.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.materials.material import FloatArray, Material
from components.core.rendering.color import to_srgb_uint8
from components.core.rendering.environments import Environment
from components.core.rendering.normals import VertexNormals
from components.core.rendering.scene import (
    bsdf_of,
    environment_emitter,
    push_radiance,
    turn_light,
    wear,
)
from components.core.rendering.variant import mitsuba, traced

DISTANCE = 4.5
"""Of the camera from the centre, in radii."""

_one_at_a_time = threading.Lock()


class SphereRenderer:
    """Renders materials on a sphere at one size; the scene is made once.

    size: pixels of the square image. spp: samples per pixel. resolution: mesh cells from pole to
    pole. displacement: the range of heights in sides of the tile. around: tiles along the equator.
    """

    def __init__(
        self,
        size: int = 256,
        spp: int = 64,
        resolution: int = 192,
        displacement: float = 0.06,
        around: int = 4,
    ) -> None:
        self.size = size
        self.spp = spp
        self.resolution = resolution
        self.displacement = displacement
        self.around = around
        triangles = self._triangles()
        self._normals = VertexNormals(triangles, int(triangles.max()) + 1)
        self._scene: Any = None
        self._shapes: Any = None

    def render(
        self, material: Material, environment: Environment, *, rotation: float = 0.0, seed: int = 0
    ) -> FloatArray:
        """Linear radiance and coverage (size, size, 4), float32; 0 where the sphere is not.

        rotation: radians by which the light turns anticlockwise, seen from above.
        """
        mi = mitsuba()
        with _one_at_a_time:
            shapes = (material.size, environment.radiance.shape)
            if self._scene is None or (not traced(mi) and shapes != self._shapes):
                self._scene, self._shapes = self._made(mi, material, environment), shapes
            parameters = mi.traverse(self._scene)
            push_radiance(parameters, environment)
            turn_light(parameters, rotation)
            wear(parameters, "sphere.bsdf", material, "principled")
            positions = self._positions(material.height)
            parameters["sphere.vertex_positions"] = positions.ravel()
            parameters["sphere.vertex_normals"] = self._normals(positions).ravel()
            parameters.update()
            return np.array(mi.render(self._scene, seed=seed, spp=self.spp), dtype=np.float32)

    def render_srgb(
        self, material: Material, environment: Environment, *, rotation: float = 0.0, seed: int = 0
    ) -> NDArray[np.uint8]:
        """8-bit sRGB with alpha (size, size, 4), not premultiplied."""
        image = self.render(material, environment, rotation=rotation, seed=seed)
        alpha = np.clip(image[..., 3:], 0.0, 1.0)
        color = to_srgb_uint8(image[..., :3] / np.maximum(alpha, 1e-3))
        return np.concatenate([color, np.round(alpha * 255).astype(np.uint8)], axis=-1)

    def _lattice(self) -> tuple[FloatArray, FloatArray]:
        """Texture coordinates (n + 1, 2n + 1): tiles to the right, tiles downwards."""
        down, right = np.meshgrid(
            np.linspace(0, self.around / 2, self.resolution + 1),
            np.linspace(0, self.around, 2 * self.resolution + 1),
            indexing="ij",
        )
        return right.astype(np.float32), down.astype(np.float32)

    def _positions(self, height: FloatArray) -> FloatArray:
        """(V, 3) points of the sphere with the relief on it."""
        right, down = self._lattice()
        rows, columns = height.shape
        y = np.floor(down * rows).astype(int) % rows
        x = np.floor(right * columns).astype(int) % columns
        relief = (height[y, x] - 0.5) * self.displacement
        # The relief vanishes at the poles, where all columns meet in one point.
        latitude = down / (self.around / 2) * np.pi
        relief = relief * np.minimum(1.0, 8 * np.sin(latitude))
        # A tile's side is the equator over `around`.
        radius = 1.0 + relief * (2 * np.pi / self.around)
        longitude = right / self.around * 2 * np.pi + np.pi / 2
        return np.stack(
            [
                radius * np.sin(latitude) * np.cos(longitude),
                radius * np.sin(latitude) * np.sin(longitude),
                radius * np.cos(latitude),
            ],
            axis=-1,
        ).reshape(-1, 3).astype(np.float32)  # fmt: skip

    def _made(self, mi: Any, material: Material, environment: Environment) -> Any:
        return mi.load_dict(
            {
                "type": "scene",
                "integrator": {"type": "path", "max_depth": 4, "hide_emitters": True},
                "sensor": self._camera(mi),
                "sphere": self._mesh(mi, material),
                "light": environment_emitter(environment),
            }
        )

    def _triangles(self) -> NDArray[np.uint32]:
        """(M, 3) numbers of points."""
        shape = (self.resolution + 1, 2 * self.resolution + 1)
        index = np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(shape)
        a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
        return np.stack([a, c, d, a, d, b], axis=-1).reshape(-1, 3)

    def _mesh(self, mi: Any, material: Material) -> Any:
        right, down = self._lattice()
        count, triangles = right.size, self._triangles()
        properties = mi.Properties()
        properties["mesh_bsdf"] = mi.load_dict(bsdf_of(mi, material.size, "principled", "repeat"))
        mesh = mi.Mesh(
            "sphere",
            count,
            len(triangles),
            has_vertex_normals=True,
            has_vertex_texcoords=True,
            props=properties,
        )
        parameters = mi.traverse(mesh)
        parameters["vertex_positions"] = self._positions(material.height).ravel()
        parameters["vertex_texcoords"] = np.stack([right, down], axis=-1).ravel()
        parameters["faces"] = triangles.ravel()
        parameters.update()
        return mesh

    def _camera(self, mi: Any) -> dict[str, Any]:
        view = 2 * np.rad2deg(np.arcsin(1.12 / DISTANCE))
        return {
            "type": "perspective",
            "fov": float(view),
            "to_world": mi.ScalarTransform4f().look_at([0, -DISTANCE, 0], [0, 0, 0], [0, 0, 1]),
            "film": {
                "type": "hdrfilm",
                "width": self.size,
                "height": self.size,
                "rfilter": {"type": "box"},
                "pixel_format": "rgba",
                "component_format": "float32",
            },
            "sampler": {"type": "multijitter"},
        }
