"""One live Mitsuba scene: a displaced tile seen from above, into which maps and light are pushed.

Paper, section 5 ("Rendering"): materials are rendered "on fully displaced meshes" under an
environment, here with the principled BSDF (GGX alpha = roughness squared). Building a scene
compiles kernels; pushing new maps, light or rotation into the same one does not, so a `Renderer`
keeps its scene for life, and replays what its first rendering recorded (`replay`).

World: the tile covers [0, 1] x [0, 1] at z = 0, image right is +x and image up is +y. Height 0.5
lies at z = 0 and the range of heights spans `displacement`. A narrow perspective camera above the
centre frames exactly the tile; the mesh goes on beyond it by its wrapped neighbours, so that light
and shadow at the border are those of an endless surface.
"""

from __future__ import annotations

import threading
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.core.materials.material import Material
from components.core.rendering.color import srgb_to_linear, to_srgb_uint8
from components.core.rendering.environments import Environment
from components.core.rendering.interleaved import NAME as INTERLEAVED
from components.core.rendering.interleaved import interleaved
from components.core.rendering.mesh import Wrap, heights, lattice
from components.core.rendering.normals import lattice_normals
from components.core.rendering.replay import owned, recorded
from components.core.rendering.variant import mitsuba, traced

FloatArray = NDArray[np.float32]

MARGIN = 0.08
"""How far the mesh goes on beyond each border, in sides of the tile."""
FIELD_OF_VIEW = 25.0
"""Degrees. A camera at 2.3 sides: reflections vary over the tile as they do in photographs."""

Shapes = tuple[tuple[int, int], tuple[int, ...]]
"""Of a material's maps and of the environment's radiance (empty for a point light)."""

_one_at_a_time = threading.Lock()


class Renderer:
    """Renders materials at one size; the scene is made once, at the first rendering.

    size: pixels of the square image. spp: samples per pixel. mesh_resolution: cells along the
    tile's side. displacement: the range of heights in sides of the tile. wrap: "repeat" for maps
    that tile, "mirror" to hide the seam of maps that don't. bsdf: "lambert" ignores roughness and
    metallic, for calibration. max_depth: 2 is direct light only, 3 adds one bounce. sampler: a
    sampler plugin of Mitsuba's ("multijitter" has a third of the noise of "independent" at 16
    samples a pixel), or "interleaved", which makes no grain (`interleaved`); then spp and
    interleave, the side of the square of pixels that share a pattern, are powers of two.

    ValueError: if they are not.
    """

    def __init__(
        self,
        size: int = 128,
        spp: int = 16,
        mesh_resolution: int = 64,
        displacement: float = 0.06,
        *,
        wrap: Wrap = "repeat",
        bsdf: Literal["principled", "lambert"] = "principled",
        max_depth: int = 3,
        sampler: str = "multijitter",
        interleave: int = 1,
    ) -> None:
        if sampler == INTERLEAVED and (spp & (spp - 1) or interleave & (interleave - 1)):
            raise ValueError(f"spp {spp} and interleave {interleave} are not powers of two")
        self.size = size
        self.spp = spp
        self.mesh_resolution = mesh_resolution
        self.displacement = displacement
        self.wrap = wrap
        self.bsdf = bsdf
        self.max_depth = max_depth
        self.sampler = sampler
        self.interleave = interleave
        self._sky: _Scene | None = None
        self._point: _Scene | None = None

    def render(
        self, material: Material, environment: Environment, *, rotation: float = 0.0, seed: int = 0
    ) -> FloatArray:
        """Linear radiance (size, size, 3), float32, under a normalised environment.

        rotation: radians by which the light turns anticlockwise, seen from above.
        """
        with _one_at_a_time:
            shapes = (material.size, environment.radiance.shape)
            if self._sky is None or not self._sky.takes(shapes):
                self._sky = _Scene(self, environment_emitter(environment), shapes)
            self._sky.light_from(environment, rotation)
            return self._sky.render(material, seed)

    def render_srgb(
        self, material: Material, environment: Environment, *, rotation: float = 0.0, seed: int = 0
    ) -> NDArray[np.uint8]:
        """The same as 8-bit sRGB (size, size, 3), clamped."""
        return to_srgb_uint8(self.render(material, environment, rotation=rotation, seed=seed))

    def render_point_light(
        self,
        material: Material,
        angle: float,
        *,
        seed: int = 0,
        radius: float = 0.6,
        elevation: float = 1.3,
    ) -> FloatArray:
        """Linear radiance (size, size, 3) under one point light on a circle above the tile.

        The paper's comparison study moves such a light "along a circle parallel to the material
        plane" (section 5). angle: radians, 0 is the image's right, pi / 2 its top. radius and
        elevation: of the circle, in sides of the tile. Irradiance at the tile's centre is pi.
        """
        with _one_at_a_time:
            shapes = (material.size, ())
            if self._point is None or not self._point.takes(shapes):
                self._point = _Scene(self, _point_emitter(), shapes)
            self._point.light_at(angle, radius, elevation)
            return self._point.render(material, seed)


def push_radiance(parameters: Any, environment: Environment) -> None:
    """Put an environment's radiance into the emitter "light" of a live scene."""
    width = environment.radiance.shape[1]
    if parameters["light.data"].shape[1] == width + 2:
        columns = np.arange(-1, width + 1) % width
    else:  # Mitsuba before 3.9.1 repeats the first column only.
        columns = np.arange(width + 1) % width
    parameters["light.data"] = owned(environment.radiance[:, columns])


def turn_light(parameters: Any, rotation: float) -> None:
    """Turn the emitter "light" by radians, anticlockwise seen from above (+z)."""
    transform = mitsuba().ScalarTransform4f
    turn = transform().rotate([0, 0, 1], float(np.rad2deg(rotation)))
    # Environments have +y up, the scene has +z.
    parameters["light.to_world"] = turn @ transform().rotate([1, 0, 0], 90)


def wear(
    parameters: Any, prefix: str, material: Material, bsdf: Literal["principled", "lambert"]
) -> None:
    """Push a material's colour, roughness and metalness into the BSDF at `prefix`."""
    color = owned(srgb_to_linear(material.albedo))
    if bsdf == "lambert":
        parameters[f"{prefix}.reflectance.data"] = color
        return
    parameters[f"{prefix}.base_color.data"] = color
    parameters[f"{prefix}.roughness.data"] = owned(material.roughness[..., None])
    parameters[f"{prefix}.metallic.data"] = owned(material.metallic[..., None])


def environment_emitter(environment: Environment) -> dict[str, Any]:
    return {"type": "envmap", "bitmap": mitsuba().Bitmap(np.ones_like(environment.radiance))}


def _point_emitter() -> dict[str, Any]:
    return {"type": "point", "position": [0.5, 0.5, 1.0], "intensity": 1.0}


class _Scene:
    """A Mitsuba scene with its traversed parameters, and what was pushed into it last."""

    def __init__(self, options: Renderer, emitter: dict[str, Any], shapes: Shapes) -> None:
        mi = mitsuba()
        self.options = options
        self.shapes = shapes
        self.scene = mi.load_dict(
            {
                "type": "scene",
                "integrator": {"type": "path", "max_depth": options.max_depth},
                "sensor": _camera(mi, options),
                "tile": _tile(mi, options, shapes[0]),
                "light": emitter,
            }
        )
        self.parameters = mi.traverse(self.scene)
        self._render = recorded(self.scene, options.spp)
        self.environment: Environment | None = None
        points, _ = lattice(options.mesh_resolution, _margin(options))
        self.vertices = np.pad(points, ((0, 0), (0, 1)))

    def takes(self, shapes: Shapes) -> bool:
        """Whether maps and environment of these shapes can be pushed; scalar code takes no new."""
        return traced(mitsuba()) or shapes == self.shapes

    def render(self, material: Material, seed: int) -> FloatArray:
        self._wear(material)
        self.parameters.update()
        environment = None if self.environment is None else self.environment.radiance.shape
        return self._render(seed, (material.size, environment))

    def light_from(self, environment: Environment, rotation: float) -> None:
        if environment is not self.environment:
            push_radiance(self.parameters, environment)
            self.environment = environment
        turn_light(self.parameters, rotation)

    def light_at(self, angle: float, radius: float, elevation: float) -> None:
        mi = mitsuba()
        x, y = 0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)
        self.parameters["light.position"] = mi.Point3f(float(x), float(y), float(elevation))
        distance = np.hypot(radius, elevation)
        # The light's intensity I makes E = I cos / distance^2 = I elevation / distance^3.
        intensity = float(np.pi * distance**3 / elevation)
        self.parameters["light.intensity.value"] = intensity

    def _wear(self, material: Material) -> None:
        """Push a material's maps and the heights of the mesh."""
        options = self.options
        wear(self.parameters, "tile.bsdf", material, options.bsdf)
        margin = _margin(options)
        height = heights(material.height, options.mesh_resolution, margin, options.wrap)
        height = (height - 0.5) * options.displacement
        self.vertices[:, 2] = height.ravel()
        normals = lattice_normals(height, 1 / options.mesh_resolution)
        self.parameters["tile.vertex_positions"] = owned(self.vertices.ravel()).array
        self.parameters["tile.vertex_normals"] = owned(normals.ravel()).array


def _margin(options: Renderer) -> int:
    """Cells of the mesh beyond each border."""
    return int(np.ceil(MARGIN * options.mesh_resolution))


def _camera(mi: Any, options: Renderer) -> dict[str, Any]:
    """A perspective camera above the tile's centre whose frame is the tile at z = 0."""
    if options.sampler == INTERLEAVED:
        sampler = interleaved(mi, options.size, options.interleave)
    else:
        sampler = {"type": options.sampler}
    distance = 0.5 / np.tan(np.deg2rad(FIELD_OF_VIEW / 2))
    return {
        "type": "perspective",
        "fov": FIELD_OF_VIEW,
        "to_world": mi.ScalarTransform4f().look_at([0.5, 0.5, distance], [0.5, 0.5, 0], [0, 1, 0]),
        "film": {
            "type": "hdrfilm",
            "width": options.size,
            "height": options.size,
            "rfilter": {"type": "box"},
            "pixel_format": "rgb",
            "component_format": "float32",
        },
        "sampler": sampler,
    }


def _tile(mi: Any, options: Renderer, size: tuple[int, int]) -> Any:
    """The mesh, flat, with its BSDF; its parameters are set again at every rendering."""
    points, triangles = lattice(options.mesh_resolution, _margin(options))
    properties = mi.Properties()
    properties["mesh_bsdf"] = mi.load_dict(bsdf_of(mi, size, options.bsdf, options.wrap))
    mesh = mi.Mesh(
        "tile",
        len(points),
        len(triangles),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=properties,
    )
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = np.pad(points, ((0, 0), (0, 1))).ravel()
    # Row 0 of a texture is v = 0, the top of the image is y = 1.
    parameters["vertex_texcoords"] = np.stack([points[:, 0], 1 - points[:, 1]], axis=-1).ravel()
    parameters["faces"] = triangles.ravel()
    parameters.update()
    return mesh


def bsdf_of(
    mi: Any, size: tuple[int, int], kind: Literal["principled", "lambert"], wrap: Wrap
) -> dict[str, Any]:
    """The BSDF whose textures, of `size` texels, `wear` fills."""

    def texture(channels: int) -> dict[str, Any]:
        # raw: the values are linear already.
        data = mi.TensorXf(np.full((*size, channels), 0.5, np.float32))
        return {"type": "bitmap", "data": data, "raw": True, "wrap_mode": wrap}

    if kind == "lambert":
        return {"type": "diffuse", "reflectance": texture(3)}
    return {
        "type": "principled",
        "base_color": texture(3),
        "roughness": texture(1),
        "metallic": texture(1),
        "specular": 0.5,
    }
