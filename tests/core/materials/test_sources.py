"""PBR sets of other hands: names, defaults, inverted maps and what cannot be a map."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from components.core.errors import UserError
from components.core.materials import headers
from components.core.materials.files import save_material
from components.core.materials.headers import pixel_size, refuse_bomb
from components.core.materials.material import Material
from components.core.materials.names import category_of, role_of, words_of
from components.core.materials.pixels import encode_normals
from components.core.materials.sources import (
    height_from_normals,
    load_material_folder,
    load_pbr_set,
    usable_sets,
)
from components.core.rendering.color import linear_to_srgb
from components.core.rendering.variant import mitsuba


def write(file: Path, value: int | tuple[int, int, int] | np.ndarray, size: int = 8) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, np.ndarray):
        Image.fromarray(value).save(file)
    else:
        Image.new("L" if isinstance(value, int) else "RGB", (size, size), value).save(file)


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


def test_height_comes_back_from_its_normals() -> None:
    down, across = np.meshgrid(*[np.arange(64) / 64 * 2 * np.pi] * 2, indexing="ij")
    height = (0.5 + 0.2 * np.sin(across) + 0.1 * np.cos(2 * down + across)).astype(np.float32)
    full = np.zeros((64, 64), np.float32)
    normals = Material(np.zeros((64, 64, 3), np.float32), height, full, full).normal(0.06)
    found = height_from_normals(encode_normals(normals))
    assert np.abs(found - height).max() < 0.01


def test_a_black_height_is_none_and_the_normals_are_used(tmp_path: Path) -> None:
    across = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    height = np.repeat((0.5 + 0.3 * np.sin(across))[None], 32, 0).astype(np.float32)
    full = np.zeros((32, 32), np.float32)
    normals = Material(np.zeros((32, 32, 3), np.float32), height, full, full).normal(0.06)
    write(tmp_path / "albedo.png", (9, 9, 9), 32)
    write(tmp_path / "height.png", 0, 32)
    assert np.allclose(load_pbr_set(tmp_path).height, 0.5)
    write(tmp_path / "normal.png", np.round(encode_normals(normals) * 255).astype(np.uint8))
    assert np.corrcoef(load_pbr_set(tmp_path).height.ravel(), height.ravel())[0, 1] > 0.99


def test_directx_normals_are_turned_over(tmp_path: Path) -> None:
    down = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    height = np.repeat((0.5 + 0.3 * np.sin(down))[:, None], 32, 1).astype(np.float32)
    full = np.zeros((32, 32), np.float32)
    normals = Material(np.zeros((32, 32, 3), np.float32), height, full, full).normal(0.06)
    for name, directx in (("wall_nor_gl_1k.png", False), ("wall_nor_dx_1k.png", True)):
        folder = tmp_path / name.split(".")[0]
        write(folder / "albedo.png", (9, 9, 9), 32)
        codes = np.round(encode_normals(normals, directx=directx) * 255).astype(np.uint8)
        write(folder / name, codes)
        assert np.corrcoef(load_pbr_set(folder).height.ravel(), height.ravel())[0, 1] > 0.99


def write_exr(file: Path, values: np.ndarray) -> None:
    mitsuba().Bitmap(values.astype(np.float32)).write(str(file))


def notes(folder: Path) -> str:
    return " | ".join(load_pbr_set(folder).metadata["notes"])


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


def test_a_float_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    write_exr(tmp_path / "albedo.exr", np.zeros((20, 30, 3)))
    assert pixel_size(tmp_path / "albedo.exr") == (30, 20)
    with pytest.raises(UserError, match=r"albedo\.exr: 30 x 20 pixels are too many"):
        refuse_bomb(tmp_path / "albedo.exr", limit=599)
    content = (tmp_path / "albedo.exr").read_bytes()
    window = content.index(b"dataWindow\0box2i\0") + len(b"dataWindow\0box2i\0") + 12
    huge = content[:window] + (2**20).to_bytes(4, "little") * 2 + content[window + 8 :]
    (tmp_path / "albedo.exr").write_bytes(huge)
    with pytest.raises(UserError, match=r"albedo\.exr.*too many"):
        load_pbr_set(tmp_path)


def test_notes_of_a_tree_are_gathered_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "good/albedo.png", (9, 9, 9))
    write(tmp_path / "odd/albedo.png", (9, 9, 9))
    write(tmp_path / "odd/height.png", 0)
    found = usable_sets(tmp_path)
    assert [(note.path.name, note.reason) for note in found.notes] == [
        ("odd", "height.png: black everywhere, so not used")
    ]
    assert "odd: height.png: black" in caplog.text


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


def test_maps_of_different_shapes_are_refused(tmp_path: Path) -> None:
    """Each cropped to its own centre, a joint's height would lie beside the joint."""
    Image.new("RGB", (32, 16), (9, 9, 9)).save(tmp_path / "albedo.png")
    height = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write(tmp_path / "height.png", height)
    with pytest.raises(UserError, match=r"height\.png has 16 x 16 pixels, but the albedo 32 x 16"):
        load_pbr_set(tmp_path)
    write(tmp_path / "height.png", height.repeat(2, axis=1))
    assert load_pbr_set(tmp_path).size == (16, 16)
    write(tmp_path / "height.png", 7)  # the same everywhere, so that nothing can lie elsewhere
    assert np.allclose(load_pbr_set(tmp_path).height, 7 / 255)


def test_integers_of_more_than_sixteen_bits_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "albedo.png", (9, 9, 9))
    codes = np.linspace(0, 65535, 64).astype(np.int32).reshape(8, 8)
    Image.fromarray(codes).save(tmp_path / "height.tif")
    np.testing.assert_allclose(load_pbr_set(tmp_path).height, codes / 65535, atol=1e-6)
    Image.fromarray(codes * 20000).save(tmp_path / "height.tif")
    with pytest.raises(UserError, match=r"height\.tif: holds integers of 32 bits"):
        load_pbr_set(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n"])
def test_an_empty_or_cut_map_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "albedo.png").write_bytes(content)
    with pytest.raises(UserError, match=r"albedo\.png"):
        load_pbr_set(tmp_path)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to Pillow's limit by ours; beyond it Pillow opens nothing, which is told likewise."""
    write(tmp_path / "albedo.png", (90, 60, 30), size=64)
    for module, name, value in ((headers, "MAX_PIXELS", 4095), (Image, "MAX_IMAGE_PIXELS", 100)):
        monkeypatch.setattr(module, name, value)
        with pytest.raises(UserError, match=r"albedo\.png: .*pixels are too many; expected at"):
            load_pbr_set(tmp_path)
        monkeypatch.undo()
    assert load_pbr_set(tmp_path).size == (64, 64)


def test_no_albedo_is_a_clear_error(tmp_path: Path) -> None:
    write(tmp_path / "rough.png", 3)
    with pytest.raises(UserError, match="no albedo"):
        load_pbr_set(tmp_path)
    with pytest.raises(UserError, match="no material found"):
        load_material_folder(str(tmp_path))
    (tmp_path / "albedo.png").write_text("hello")
    with pytest.raises(UserError, match=r"albedo\.png"):
        load_pbr_set(tmp_path)


def test_a_folder_of_sets_leaves_the_damaged_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "wood/planks_diff.png", (200, 100, 50), 12)
    write(tmp_path / "deep/er/PavingStones055_Color.png", (1, 2, 3))
    write(tmp_path / "bad/albedo.png", 1)
    (tmp_path / "bad/albedo.png").write_bytes(b"\x89PNG")
    found = load_material_folder(str(tmp_path), 8)
    assert [material.metadata["source"] for material in found] == ["er", "wood"]
    assert {material.size for material in found} == {(8, 8)}
    assert "bad" in caplog.text


def test_our_own_layout_is_a_set_too(tmp_path: Path) -> None:
    write(tmp_path / "x/albedo.png", (51, 51, 51))
    material = load_pbr_set(tmp_path / "x")
    named = Material(**material.maps(), caption="grey wool cloth", category="fabric")
    save_material(named, tmp_path / "own", seed=5)
    again = load_pbr_set(tmp_path / "own")
    assert (again.caption, again.category) == ("grey wool cloth", "fabric")
    assert again.metadata["seed"] == 5


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
