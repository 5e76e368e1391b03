"""Materials for other programs: a ZIP of maps and a MaterialX document (`gltf.py` has the mesh)."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

from components.core.materials.files import encoded_maps, save_material, sidecar, write_whole
from components.core.materials.material import Material
from components.core.materials.occlusion import occlusion
from components.core.materials.pixels import encode_normals, png_8

NODES = ("albedo", "roughness", "metallic", "height", "normals", "relief_by_normals", "centred",
         "relief", "surface", "smooth_surface")  # fmt: skip
"""Of a MaterialX document, besides its two materials."""


def write_zip(material: Material, file: Path, **metadata: Any) -> None:
    """All maps as PNG (both normal conventions, 16-bit height, occlusion) and material.json in a
    ZIP."""
    content = encoded_maps(material)
    content["normal_gl.png"] = content.pop("normal.png")
    content["normal_dx.png"] = png_8(encode_normals(material.normal(), directx=True))
    content["ao.png"] = png_8(occlusion(material.height))
    content["material.json"] = sidecar(material, **metadata).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(content):
            # A fixed date: the same material gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content[name])
    write_whole(file, buffer.getvalue())


def write_mtlx(
    material: Material, folder: Path, name: str = "material", displacement: float = 0.06
) -> None:
    """The maps as `save_material` writes them, and name.mtlx beside them that refers to them."""
    save_material(material, folder)
    write_whole(folder / f"{name}.mtlx", mtlx(name, displacement).encode())


def mtlx(name: str = "material", displacement: float = 0.06) -> str:
    """A MaterialX 1.38 document: standard_surface with tiled maps.

    The material `name` has its relief from the normal map, name_displaced from the heights: both at
    once would show it twice. What no element may be called becomes "_", as MaterialX's
    `createValidName` does it.
    """
    name = _element_name(name)

    def image(node: str, kind: str, file: str, space: str = "") -> str:
        described = f' colorspace="{space}"' if space else ""
        return (
            f'  <tiledimage name="{node}" type="{kind}">\n'
            f'    <input name="file" type="filename" value="{file}"{described}/>\n'
            f"  </tiledimage>\n"
        )

    def surface(node: str, normal: str = "") -> str:
        return (
            f'  <standard_surface name="{node}" type="surfaceshader">\n'
            '    <input name="base" type="float" value="1.0"/>\n'
            '    <input name="base_color" type="color3" nodename="albedo"/>\n'
            '    <input name="metalness" type="float" nodename="metallic"/>\n'
            '    <input name="specular_roughness" type="float" nodename="roughness"/>\n'
            f"{normal}  </standard_surface>\n"
        )

    return (
        '<?xml version="1.0"?>\n<materialx version="1.38" colorspace="lin_rec709">\n'
        + image("albedo", "color3", "albedo.png", "srgb_texture")
        + image("roughness", "float", "roughness.png")
        + image("metallic", "float", "metallic.png")
        + image("height", "float", "height.png")
        + image("normals", "vector3", "normal.png")
        + '  <normalmap name="relief_by_normals" type="vector3">\n'
        '    <input name="in" type="vector3" nodename="normals"/>\n'
        "  </normalmap>\n"
        '  <subtract name="centred" type="float">\n'
        '    <input name="in1" type="float" nodename="height"/>\n'
        '    <input name="in2" type="float" value="0.5"/>\n'
        "  </subtract>\n"
        '  <displacement name="relief" type="displacementshader">\n'
        '    <input name="displacement" type="float" nodename="centred"/>\n'
        f'    <input name="scale" type="float" value="{displacement:g}"/>\n'
        "  </displacement>\n"
        + surface(
            "surface", '    <input name="normal" type="vector3" nodename="relief_by_normals"/>\n'
        )
        + surface("smooth_surface")
        + f'  <surfacematerial name="{name}" type="material">\n'
        '    <input name="surfaceshader" type="surfaceshader" nodename="surface"/>\n'
        "  </surfacematerial>\n"
        f'  <surfacematerial name="{name}_displaced" type="material">\n'
        '    <input name="surfaceshader" type="surfaceshader" nodename="smooth_surface"/>\n'
        '    <input name="displacementshader" type="displacementshader" nodename="relief"/>\n'
        "  </surfacematerial>\n</materialx>\n"
    )


def _element_name(name: str) -> str:
    """A name of letters, digits and "_" that no other node of the document has."""
    valid = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"material_{valid}" if valid in NODES or not valid[:1].isalpha() else valid
