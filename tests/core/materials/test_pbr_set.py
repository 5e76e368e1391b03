"""PBR sets of other hands: defaults, inverted maps, and what is made of what is there."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.core.materials.files import save_material
from components.core.materials.material import Material
from components.core.materials.pbr_set import load_pbr_set
from tests.core.materials.maps import write


def test_missing_maps_get_defaults_and_are_listed(tmp_path: Path) -> None:
    write(tmp_path / "x_basecolor.jpg", (100, 100, 100))
    material = load_pbr_set(tmp_path)
    assert np.allclose(material.height, 0.5)
    assert np.allclose(material.roughness, 0.7)
    assert np.allclose(material.metallic, 0.0)
    assert material.metadata["defaults"] == ["height", "roughness", "metallic"]


def test_gloss_is_inverted_and_packed_maps_are_split(tmp_path: Path) -> None:
    write(tmp_path / "a/albedo.png", (9, 9, 9))
    write(tmp_path / "a/gloss.png", 255)
    assert np.allclose(load_pbr_set(tmp_path / "a").roughness, 0.0)
    write(tmp_path / "b/wall_diff_2k.png", (9, 9, 9))
    write(tmp_path / "b/wall_arm_2k.png", (0, 51, 255))
    packed = load_pbr_set(tmp_path / "b")
    assert np.allclose(packed.roughness, 0.2)
    assert np.allclose(packed.metallic, 1.0)


def test_sixteen_bit_heights_keep_their_depth(tmp_path: Path) -> None:
    write(tmp_path / "albedo.png", (9, 9, 9))
    codes = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    write(tmp_path / "height.png", codes)
    np.testing.assert_allclose(load_pbr_set(tmp_path).height, codes / 65535, atol=1e-6)


def test_a_normal_map_named_metal_is_not_metalness(tmp_path: Path) -> None:
    write(tmp_path / "albedo.png", (9, 9, 9))
    write(tmp_path / "metal.png", (127, 127, 250))
    material = load_pbr_set(tmp_path)
    assert np.allclose(material.metallic, 0.0)
    assert "metallic" not in material.metadata["files"]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P"])
def test_colour_maps_of_other_kinds_are_colours(tmp_path: Path, mode: str) -> None:
    grey = Image.new("RGB", (8, 8), (90, 90, 90))
    (grey.quantize() if mode == "P" else grey.convert(mode)).save(tmp_path / "albedo.png")
    albedo = load_pbr_set(tmp_path).albedo
    assert albedo.shape == (8, 8, 3)
    assert np.allclose(albedo, 90 / 255, atol=2 / 255)


def test_maps_of_different_sizes_become_one_size(tmp_path: Path) -> None:
    write(tmp_path / "albedo.png", (90, 60, 30), size=32)
    write(tmp_path / "rough.png", 128, size=8)
    write(tmp_path / "height.png", 0, size=16)
    material = load_pbr_set(tmp_path)
    assert material.size == (32, 32)
    assert np.isfinite(material.normal()).all()


def test_our_own_layout_is_a_set_too(tmp_path: Path) -> None:
    write(tmp_path / "x/albedo.png", (51, 51, 51))
    material = load_pbr_set(tmp_path / "x")
    named = Material(**material.maps(), caption="grey wool cloth", category="fabric")
    save_material(named, tmp_path / "own", seed=5)
    again = load_pbr_set(tmp_path / "own")
    assert (again.caption, again.category) == ("grey wool cloth", "fabric")
    assert again.metadata["seed"] == 5
