"""Which map a file is, and which category a folder, by names of other hands."""

from pathlib import Path

import numpy as np
import pytest

from components.core.materials.names import category_of, role_of, words_of
from components.core.materials.pbr_set import load_pbr_set
from tests.core.materials.maps import write

STYLES = {
    "ambientcg": {
        "albedo": "Bricks075A_1K-PNG_Color.png",
        "roughness": "Bricks075A_1K-PNG_Roughness.png",
        "height": "Bricks075A_1K-PNG_Displacement.png",
        "metallic": "Bricks075A_1K-PNG_Metalness.png",
        "normal": "Bricks075A_1K-PNG_NormalGL.png",
    },
    "polyhaven": {
        "albedo": "red_brick_diff_1k.png",
        "roughness": "red_brick_rough_1k.png",
        "height": "red_brick_disp_1k.png",
        "metallic": "red_brick_metal_1k.png",
        "normal": "red_brick_nor_gl_1k.png",
    },
    "godot": {
        "albedo": "albedo.png",
        "roughness": "rough.png",
        "metallic": "metal.png",
        "normal": "normal.png",
    },
}


@pytest.mark.parametrize("style", sorted(STYLES))
def test_names_of_each_library(tmp_path: Path, style: str) -> None:
    values = {"roughness": 51, "height": 102, "metallic": 204}
    colours = {"albedo": (255, 0, 51), "normal": (128, 128, 255)}
    for role, name in STYLES[style].items():
        write(tmp_path / "red_brick" / name, colours.get(role, values.get(role, 0)))
    if style == "godot":
        write(tmp_path / "red_brick/depth.png", 255 - 102)
    write(tmp_path / "red_brick/preview.png", (9, 9, 9))
    (tmp_path / "red_brick/licence.txt").write_text("CC0")
    material = load_pbr_set(tmp_path / "red_brick", 4)
    assert material.size == (4, 4)
    np.testing.assert_allclose(material.albedo[0, 0], [1.0, 0.0, 0.2], atol=1e-6)
    assert np.allclose(material.roughness, 0.2)
    assert np.allclose(material.height, 0.4)
    assert np.allclose(material.metallic, 0.8)
    assert (material.category, material.caption) == ("brick", "red brick")
    assert material.metadata["defaults"] == []


@pytest.mark.parametrize(
    ("stem", "role"),
    [
        ("metal_plate_rough_2k", "roughness"),
        ("rusty_metal_preview", ""),
        ("Metal032", ""),
        ("wall_base_color", "albedo"),
        ("Wood01_2K-JPG_AmbientOcclusion", ""),
        ("Tiles_NormalDX", "normal_dx"),
        ("", ""),
    ],
)
def test_roles_by_name(stem: str, role: str) -> None:
    assert role_of(stem) == role


def test_words_and_categories_by_name() -> None:
    assert words_of("PavingStones055_1K-JPG") == ["paving", "stones"]
    assert category_of("Planks012_2K-PNG") == "wood"
    assert category_of("Bricks075A") == "brick"
    assert category_of("something") == ""
