"""A material as a USDZ package: the displaced tile with a UsdPreviewSurface and its textures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from components.core.materials.files import write_whole
from components.core.materials.material import Material
from components.core.materials.occlusion import occlusion
from components.core.materials.pixels import encode_normals, png_8
from components.core.materials.surface import Surface, displaced


def write_usdz(
    material: Material, file: Path, *, resolution: int = 128, displacement: float = 0.06
) -> None:
    """A USDZ of the displaced tile, one metre wide, y up.

    resolution: mesh cells along a side; 1 gives a flat plane with a normal map. displacement: the
    range of heights in sides of the tile.
    """
    from pxr import Sdf

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        surface = displaced(material, resolution, displacement)
        textures = _textures(material, surface, displacement)
        for texture, content in textures.items():
            (folder / texture).write_bytes(content)
        _write_stage(material, surface, folder / "material.usdc", set(textures))
        package = folder / "material.usdz"
        with Sdf.ZipFileWriter.CreateNew(str(package)) as writer:
            # The first file is the one that a viewer opens.
            for part in ("material.usdc", *sorted(textures)):
                if not writer.AddFile(str(folder / part), part):
                    raise OSError(f"{part} could not be added to {file}")
        write_whole(file, package.read_bytes())


def _textures(material: Material, surface: Surface, displacement: float) -> dict[str, bytes]:
    made = {
        "albedo.png": png_8(material.albedo),
        "roughness.png": png_8(material.roughness),
        "metallic.png": png_8(material.metallic),
        "occlusion.png": png_8(occlusion(material.height, displacement)),
    }
    if surface.fine_normals is not None:
        made["normal.png"] = png_8(encode_normals(surface.fine_normals))
    return made


def _write_stage(material: Material, surface: Surface, file: Path, textures: set[str]) -> None:
    from pxr import Usd, UsdGeom, UsdShade

    stage = Usd.Stage.CreateNew(str(file))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, "/Tile")
    stage.SetDefaultPrim(root.GetPrim())
    if material.caption:
        root.GetPrim().SetMetadata("comment", material.caption)
    mesh = _define_mesh(stage, surface)
    shading = _define_shading(stage, textures)
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(shading)
    stage.GetRootLayer().Save()


def _define_mesh(stage: Any, surface: Surface) -> Any:
    from pxr import Sdf, UsdGeom, Vt

    mesh = UsdGeom.Mesh.Define(stage, "/Tile/Mesh")
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(surface.positions))
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(surface.normals))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    counts = np.full(len(surface.triangles), 3, np.int32)
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(counts))
    indices = np.ascontiguousarray(surface.triangles.ravel().astype(np.int32))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(indices))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateExtentAttr(
        Vt.Vec3fArray.FromNumpy(np.stack([surface.positions.min(0), surface.positions.max(0)]))
    )
    # USD counts v upwards.
    upwards = np.ascontiguousarray(surface.texcoords * [1, -1] + [0, 1], np.float32)
    texcoords = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
        "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex
    )
    texcoords.Set(Vt.Vec2fArray.FromNumpy(upwards))
    return mesh


def _define_shading(stage: Any, textures: set[str]) -> Any:
    """UsdPreviewSurface with one texture reader an input."""
    from pxr import Sdf, UsdShade

    shading = UsdShade.Material.Define(stage, "/Tile/Material")
    surface = UsdShade.Shader.Define(stage, "/Tile/Material/Surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("useSpecularWorkflow", Sdf.ValueTypeNames.Int).Set(0)
    shading.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    reader = UsdShade.Shader.Define(stage, "/Tile/Material/Texcoords")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    types = Sdf.ValueTypeNames
    inputs = {
        "albedo.png": ("diffuseColor", types.Color3f, "rgb", types.Float3, "sRGB"),
        "roughness.png": ("roughness", types.Float, "r", types.Float, "raw"),
        "metallic.png": ("metallic", types.Float, "r", types.Float, "raw"),
        "occlusion.png": ("occlusion", types.Float, "r", types.Float, "raw"),
        "normal.png": ("normal", types.Normal3f, "rgb", types.Float3, "raw"),
    }
    for file in sorted(textures):
        name, kind, channel, output, space = inputs[file]
        texture = UsdShade.Shader.Define(stage, f"/Tile/Material/{name.capitalize()}Texture")
        texture.CreateIdAttr("UsdUVTexture")
        texture.CreateInput("file", types.Asset).Set(Sdf.AssetPath(file))
        texture.CreateInput("sourceColorSpace", types.Token).Set(space)
        for axis in ("wrapS", "wrapT"):
            texture.CreateInput(axis, types.Token).Set("repeat")
        if name == "normal":
            texture.CreateInput("scale", types.Float4).Set((2, 2, 2, 1))
            texture.CreateInput("bias", types.Float4).Set((-1, -1, -1, 0))
        texture.CreateInput("st", types.Float2).ConnectToSource(reader.ConnectableAPI(), "result")
        texture.CreateOutput(channel, output)
        surface.CreateInput(name, kind).ConnectToSource(texture.ConnectableAPI(), channel)
    return shading
