"""Exports that other programs open: checked against the formats themselves."""

import io
import json
import struct
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import trimesh
from PIL import Image

from components.core.materials.export import write_mtlx, write_zip
from components.core.materials.gltf import glb, write_glb
from components.core.materials.library.catalogue import sample
from components.core.materials.material import Material
from components.core.materials.occlusion import occlusion
from components.core.materials.pixels import encode_normals
from components.core.materials.usd import write_usdz
from pipelines.commands_materials import FORMATS, _export
from tests.node.gltf import validate


def material(size: int = 16) -> Material:
    y, x = np.meshgrid(*[np.linspace(0, 1, size, dtype=np.float32)] * 2, indexing="ij")
    return Material(np.stack([x, y, x * y], -1), x, 0.2 + 0.5 * y, (x > 0.5).astype(np.float32))


def parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON"
    document = json.loads(content[20 : 20 + size])
    binary_size, kind = struct.unpack_from("<I4s", content, 20 + size)
    assert kind == b"BIN\0"
    binary = content[28 + size :]
    assert len(binary) == binary_size
    return document, binary


def view(document: dict[str, Any], binary: bytes, number: int) -> bytes:
    entry = document["bufferViews"][number]
    return binary[entry["byteOffset"] : entry["byteOffset"] + entry["byteLength"]]


def test_zip_holds_all_maps_and_both_normal_conventions(tmp_path: Path) -> None:
    write_zip(material(), tmp_path / "m.zip", licence="CC0-1.0")
    write_zip(material(), tmp_path / "n.zip", licence="CC0-1.0")
    assert (tmp_path / "m.zip").read_bytes() == (tmp_path / "n.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        maps = {name: archive.read(name) for name in archive.namelist()}
    assert set(maps) == {
        "albedo.png", "ao.png", "height.png", "material.json", "metallic.png", "normal_dx.png",
        "normal_gl.png", "roughness.png",
    }  # fmt: skip
    assert json.loads(maps["material.json"])["licence"] == "CC0-1.0"
    gl, dx = (
        np.asarray(Image.open(io.BytesIO(maps[f"normal_{kind}.png"]))).astype(int)
        for kind in ("gl", "dx")
    )
    np.testing.assert_array_equal(gl[..., 0], dx[..., 0])
    assert np.abs(gl[..., 1] + dx[..., 1] - 255).max() <= 1
    assert Image.open(io.BytesIO(maps["height.png"])).mode.startswith("I")


@pytest.mark.parametrize("resolution", [4, 16, 40])
def test_glb_is_a_displaced_tile_facing_up(resolution: int) -> None:
    document, binary = parts(glb(material(), resolution, displacement=0.1))
    count = (resolution + 1) ** 2
    positions = np.frombuffer(view(document, binary, 0), np.float32).reshape(-1, 3)
    normals = np.frombuffer(view(document, binary, 1), np.float32).reshape(-1, 3)
    texcoords = np.frombuffer(view(document, binary, 2), np.float32).reshape(-1, 2)
    triangles = np.frombuffer(view(document, binary, 4), np.uint32).reshape(-1, 3)
    assert len(positions) == len(normals) == len(texcoords) == count
    assert document["accessors"][4]["count"] == triangles.size == 6 * resolution**2
    assert document["accessors"][0]["min"] == pytest.approx(positions.min(axis=0))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-5)
    tangents = np.frombuffer(view(document, binary, 3), np.float32).reshape(-1, 4)
    np.testing.assert_allclose((tangents[:, :3] * normals).sum(1), 0.0, atol=1e-5)
    # Green of the normal map points up in the image, which is -z.
    assert (np.cross(normals, tangents[:, :3])[:, 2] * tangents[:, 3] < -0.9).all()
    corners = positions[triangles]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (facing[:, 1] > 0).all()
    # The height rises with x from 0 to 1, so the tile does from -0.05 to 0.05.
    assert np.corrcoef(positions[:, 0], positions[:, 1])[0, 1] > 0.98
    assert np.ptp(positions[:, 1]) == pytest.approx(0.1, abs=0.02)
    np.testing.assert_allclose(positions[:, 0], texcoords[:, 0] - 0.5, atol=1e-6)
    assert all(entry["byteOffset"] % 4 == 0 for entry in document["bufferViews"])
    assert ("normalTexture" in document["materials"][0]) == (resolution < 16)


def test_the_flat_glb_is_two_triangles_with_the_relief_in_its_normals() -> None:
    document, binary = parts(glb(material(), 1, displacement=0.1))
    positions = np.frombuffer(view(document, binary, 0), np.float32).reshape(-1, 3)
    assert len(positions) == 4
    assert not positions[:, 1].any()
    normals = np.asarray(Image.open(io.BytesIO(view(document, binary, 7)))) / 255
    np.testing.assert_allclose(normals, encode_normals(material().normal(0.1)), atol=0.003)


def test_glb_packs_roughness_in_green_and_metalness_in_blue(tmp_path: Path) -> None:
    write_glb(material(), tmp_path / "m.glb", resolution=8)
    document, binary = parts((tmp_path / "m.glb").read_bytes())
    packed = np.asarray(Image.open(io.BytesIO(view(document, binary, 6)))) / 255
    np.testing.assert_allclose(packed[..., 1], material().roughness, atol=0.003)
    np.testing.assert_allclose(packed[..., 2], material().metallic, atol=0.003)
    albedo = np.asarray(Image.open(io.BytesIO(view(document, binary, 5)))) / 255
    np.testing.assert_allclose(albedo, material().albedo, atol=0.003)


def test_mtlx_refers_to_files_and_nodes_that_exist(tmp_path: Path) -> None:
    write_mtlx(material(), tmp_path / "m", "brick")
    root = ET.parse(tmp_path / "m/brick.mtlx").getroot()
    files = [
        str(node.get("value")) for node in root.iter("input") if node.get("type") == "filename"
    ]
    assert sorted(files) == [
        "albedo.png", "height.png", "metallic.png", "normal.png", "roughness.png",
    ]  # fmt: skip
    assert all((tmp_path / "m" / name).is_file() for name in files)
    nodes = {node.get("name") for node in root}
    assert {node.get("nodename") for node in root.iter("input") if node.get("nodename")} <= nodes


def test_occlusion_is_the_share_of_the_sky_seen_from_a_groove() -> None:
    assert (occlusion(np.full((32, 32), 0.3, np.float32)) == 1).all()
    # The floor of an endless groove of half-width w and depth d sees w / sqrt(w^2 + d^2) of a
    # uniform sky from its middle line.
    height = np.ones((256, 256), np.float32)
    height[:, 118:139] = 0.0
    seen = occlusion(height, displacement=0.06)
    half, depth = 10.5 / 256, 0.06
    assert seen[:, 128].mean() == pytest.approx(half / np.hypot(half, depth), abs=0.05)
    assert seen[:, 128].mean() < seen[:, 100].min() == 1.0
    assert seen[:, 119].mean() < seen[:, 128].mean()


def test_trimesh_reads_the_maps_and_the_tile_back(tmp_path: Path) -> None:
    made = sample("brick", np.random.default_rng(0), 64)
    write_glb(made, tmp_path / "m.glb", resolution=32, displacement=0.06)
    (mesh,) = trimesh.load_scene(tmp_path / "m.glb").geometry.values()
    assert len(mesh.faces) == 2 * 32**2
    assert mesh.extents[[0, 2]] == pytest.approx([1, 1])
    assert mesh.extents[1] <= 0.06
    read = mesh.visual.material
    albedo = np.asarray(read.baseColorTexture.convert("RGB")) / 255
    packed = np.asarray(read.metallicRoughnessTexture.convert("RGB")) / 255
    np.testing.assert_allclose(albedo, made.albedo, atol=0.003)
    np.testing.assert_allclose(packed[..., 1], made.roughness, atol=0.003)
    np.testing.assert_allclose(packed[..., 2], made.metallic, atol=0.003)
    np.testing.assert_allclose(packed[..., 0], occlusion(made.height), atol=0.003)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("brick", "brick"),
        ("old-red-brick-wall", "old_red_brick_wall"),
        ("surface", "material_surface"),
        ("2 mm \u00e9tain & <zinc>", "material_2_mm__tain____zinc_"),
    ],
)
def test_materialx_accepts_the_document(tmp_path: Path, given: str, name: str) -> None:
    import MaterialX

    write_mtlx(material(), tmp_path / "m", given)
    document = MaterialX.createDocument()
    MaterialX.readFromXmlFile(document, str(tmp_path / f"m/{given}.mtlx"))
    library = MaterialX.createDocument()
    MaterialX.loadLibraries(
        MaterialX.getDefaultDataLibraryFolders(), MaterialX.getDefaultDataSearchPath(), library
    )
    document.setDataLibrary(library)
    valid, complaints = document.validate()
    assert valid, complaints
    by_normals, displaced = document.getMaterialNodes()
    assert (by_normals.getName(), displaced.getName()) == (name, f"{name}_displaced")
    # The relief is in one of the two places, never in both.
    for node, normal, displacement in ((by_normals, True, False), (displaced, False, True)):
        surface = node.getConnectedNode("surfaceshader")
        assert (surface.getConnectedNode("normal") is not None) == normal
        assert (node.getConnectedNode("displacementshader") is not None) == displacement
    relief = by_normals.getConnectedNode("surfaceshader").getConnectedNode("normal")
    assert relief.getCategory() == "normalmap"
    assert relief.getConnectedNode("in").getInputValue("file") == "normal.png"


@pytest.mark.parametrize("resolution", [1, 16])
def test_usd_s_own_checker_accepts_the_package(tmp_path: Path, resolution: int) -> None:
    from pxr import Usd, UsdGeom, UsdShade, UsdValidation

    file = tmp_path / "m.usdz"
    write_usdz(material(32), file, resolution=resolution)
    stage = Usd.Stage.Open(str(file))
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) > 20
    faults = UsdValidation.ValidationContext(validators).Validate(stage)
    assert [fault.GetErrorAsString() for fault in faults] == []
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/Tile/Mesh"))
    assert len(mesh.GetPointsAttr().Get()) == (resolution + 1) ** 2
    shading = UsdShade.MaterialBindingAPI(mesh.GetPrim()).ComputeBoundMaterial()[0]
    surface = shading.ComputeSurfaceSource()[0]
    names = {entry.GetBaseName() for entry in surface.GetInputs()}
    assert {"diffuseColor", "roughness", "metallic", "normal", "occlusion"} <= names


@pytest.mark.parametrize(("shape", "resolution"), [("plane", 16), ("plane", 1), ("sphere", 16)])
def test_khronos_validator_finds_no_fault(
    tmp_path: Path, shape: Literal["plane", "sphere"], resolution: int
) -> None:
    file = tmp_path / "m.glb"
    file.write_bytes(glb(material(), resolution, displacement=0.1, shape=shape))
    report = validate(file)
    assert report["issues"]["numErrors"] == 0, report["issues"]["messages"]
    assert report["issues"]["numWarnings"] == 0, report["issues"]["messages"]
    assert report["info"]["hasTextures"]


def test_the_command_line_writes_every_format(tmp_path: Path) -> None:
    files = _export(material(), tmp_path, "m", [*FORMATS, "glb"])
    assert [file.name for file in files] == ["m.zip", "m.glb", "m.flat.glb", "m.mtlx", "m.usdz"]
    assert all(file.is_file() for file in files)
    reports = [validate(file) for file in files if file.suffix == ".glb"]
    assert [report["issues"]["numErrors"] for report in reports] == [0, 0]
    assert [report["info"]["totalTriangleCount"] for report in reports] == [2 * 128**2, 2]


def test_the_sphere_is_round_and_faces_outwards(tmp_path: Path) -> None:
    file = tmp_path / "m.glb"
    flat = replace(material(), height=np.full_like(material().height, 0.5))
    file.write_bytes(glb(flat, 16, displacement=0.1, shape="sphere"))
    (mesh,) = trimesh.load_scene(file).geometry.values()
    radius = np.linalg.norm(mesh.vertices, axis=1)
    # Four tiles of one metre go around it.
    np.testing.assert_allclose(radius, 4 / (2 * np.pi), rtol=1e-4)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * (4 / (2 * np.pi)) ** 3, rel=0.01)
    outwards = mesh.vertices / radius[:, None]
    assert (mesh.vertex_normals * outwards).sum(axis=1).min() > 0.99


def test_relief_stands_out_of_the_sphere(tmp_path: Path) -> None:
    height = np.full((32, 32), 0.5, np.float32)
    height[:, 8:16] = 1.0
    document, binary = parts(glb(replace(material(32), height=height), 16, 0.1, "sphere"))
    positions = np.frombuffer(view(document, binary, 0), np.float32).reshape(-1, 3)
    radius = np.linalg.norm(positions, axis=1)
    assert radius.max() == pytest.approx(4 / (2 * np.pi) + 0.05, rel=1e-3)
