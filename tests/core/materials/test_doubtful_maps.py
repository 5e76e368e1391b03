"""Maps that may be meant otherwise: read in one way, which is told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from components.core.materials.pbr_set import load_pbr_set
from components.core.rendering.color import linear_to_srgb
from tests.core.materials.maps import notes, write, write_exr


@pytest.mark.parametrize("name", ["albedo.exr", "albedo.tiff"])
def test_float_colour_is_linear_becomes_srgb_and_is_told(tmp_path: Path, name: str) -> None:
    colour = np.full((8, 8, 3), (0.2, 0.05, 0.5), np.float32)
    if name.endswith("tiff"):
        colour[...] = 0.2  # floats of a TIFF are grey here
        Image.fromarray(colour[..., 0]).save(tmp_path / name)
    else:
        write_exr(tmp_path / name, colour)
    material = load_pbr_set(tmp_path)
    assert np.allclose(material.albedo, linear_to_srgb(colour), atol=2e-3)
    assert f"{name}: holds floats, so its colours are read as linear" in notes(tmp_path)


def test_heights_of_any_range_keep_their_form_and_are_told(tmp_path: Path) -> None:
    write(tmp_path / "albedo.png", (9, 9, 9))
    slope = np.linspace(-3.0, 5.0, 64).reshape(8, 8)
    write_exr(tmp_path / "height.exr", slope)
    height = load_pbr_set(tmp_path).height
    np.testing.assert_allclose(height, (slope + 3) / 8, atol=1e-3)
    assert "heights from -3 to 5 are brought to 0 to 1" in notes(tmp_path)
    write_exr(tmp_path / "height.exr", np.linspace(0.2, 0.4, 64).reshape(8, 8))
    np.testing.assert_allclose(load_pbr_set(tmp_path).height[0, 0], 0.2, atol=1e-3)
    assert notes(tmp_path) == ""


def test_what_is_no_number_is_replaced_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "albedo.png", (9, 9, 9))
    rough = np.full((8, 8), 0.25, np.float32)
    rough[0, :3] = np.nan, np.inf, -np.inf
    write_exr(tmp_path / "rough.exr", rough)
    found = load_pbr_set(tmp_path).roughness
    np.testing.assert_allclose(found[0, :4], [0.5, 1.0, 0.0, 0.25], atol=1e-3)
    assert "rough.exr: 3 values that are no numbers" in notes(tmp_path)


def test_a_black_height_alpha_and_oblong_maps_are_told(tmp_path: Path) -> None:
    Image.new("RGBA", (16, 8), (90, 60, 30, 200)).save(tmp_path / "albedo.png")
    write(tmp_path / "height.png", 0)
    told = notes(tmp_path)
    assert "height.png: black everywhere, so not used" in told
    assert "albedo.png: its alpha channel is not used" in told
    assert "albedo.png: 16 x 8 pixels: the centre square is used" in told
    Image.new("RGBA", (8, 8), (90, 60, 30, 255)).save(tmp_path / "albedo.png")
    assert "alpha" not in notes(tmp_path)


def test_doubtful_maps_are_told(tmp_path: Path) -> None:
    write(tmp_path / "albedo.png", 90, size=32)
    write(tmp_path / "depth.png", np.full((16, 16), 64, np.uint8))
    told = notes(tmp_path)
    assert "albedo.png: has one channel, so its colours are greys" in told
    assert "depth.png: a depth, so read as an inverted height" in told
    assert "depth.png: 16 x 16 pixels, but the albedo 32 x 32: all are brought to one size" in told
    np.testing.assert_allclose(load_pbr_set(tmp_path).height, 1 - 64 / 255, atol=1e-6)


def test_which_way_colours_were_read_is_told(tmp_path: Path) -> None:
    codes = np.full((8, 8), 16384, np.uint16)
    write(tmp_path / "deep/albedo.png", codes)
    assert "has 16 bits, which some write linear; its colours are read as sRGB" in notes(
        tmp_path / "deep"
    )
    np.testing.assert_allclose(load_pbr_set(tmp_path / "deep").albedo, 16384 / 65535, atol=1e-6)
    linear = PngInfo()
    linear.add(b"gAMA", (100_000).to_bytes(4, "big"))
    (tmp_path / "linear").mkdir()
    Image.new("RGB", (8, 8), (51, 51, 51)).save(tmp_path / "linear/albedo.png", pnginfo=linear)
    assert "its header says gamma 1, so its colours are read as linear" in notes(
        tmp_path / "linear"
    )
    found = load_pbr_set(tmp_path / "linear").albedo
    np.testing.assert_allclose(found, linear_to_srgb(np.full((8, 8, 3), 0.2)), atol=1e-5)
    write(tmp_path / "plain/albedo.png", (51, 51, 51))
    assert notes(tmp_path / "plain") == ""


def test_floats_outside_of_the_scale_and_inks_are_told(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (10, 20, 30, 40)).save(tmp_path / "albedo.jpg")
    write_exr(tmp_path / "rough.exr", np.linspace(0, 255, 64).reshape(8, 8))
    told = notes(tmp_path)
    assert "albedo.jpg: its CMYK colours are converted without their profile" in told
    assert "rough.exr: values from 0 to 255 are cut to 0 to 1" in told
