"""Maps that cannot be read, or not in one way only, are refused in a sentence."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.core.errors import UserError
from components.core.materials import headers
from components.core.materials.headers import pixel_size, refuse_bomb
from components.core.materials.pbr_set import load_pbr_set
from tests.core.materials.maps import write, write_exr


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


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to Pillow's limit by ours; beyond it Pillow opens nothing, which is told likewise."""
    write(tmp_path / "albedo.png", (90, 60, 30), size=64)
    for module, name, value in ((headers, "MAX_PIXELS", 4095), (Image, "MAX_IMAGE_PIXELS", 100)):
        monkeypatch.setattr(module, name, value)
        with pytest.raises(UserError, match=r"albedo\.png: .*pixels are too many; expected at"):
            load_pbr_set(tmp_path)
        monkeypatch.undo()
    assert load_pbr_set(tmp_path).size == (64, 64)


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
