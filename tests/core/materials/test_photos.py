"""A folder of good and bad photographs: the bad are set aside, counted and named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.core.errors import UserError
from components.core.materials.photos import list_images, read_photo, read_photos


def gradient(width: int = 64, height: int = 48) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], -1).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    gradient().save(tmp_path / "a_good.jpg", quality=95)
    gradient().save(tmp_path / "sub/good.PNG")
    gradient().convert("L").save(tmp_path / "grey8.png")
    gradient().save(tmp_path / "corrupt.jpg")
    content = (tmp_path / "corrupt.jpg").read_bytes()
    (tmp_path / "corrupt.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("this is not an image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    Image.fromarray((np.ones((32, 32)) * 40000).astype(np.uint16)).save(tmp_path / "grey16.png")
    gradient().convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    (tmp_path / "notes.txt").write_text("ignored")
    return tmp_path


def test_bad_files_are_set_aside_with_reasons(folder: Path) -> None:
    paths = list_images(folder)
    assert len(paths) == 9
    assert paths == sorted(paths)
    photos = read_photos(paths, 24)
    assert [path.name for path in photos.kept] == ["a_good.jpg", "grey8.png", "good.PNG"]
    assert photos.images.shape == (3, 24, 24, 3)
    assert photos.images.dtype == np.uint8
    reasons = {rejected.path.name: rejected.reason for rejected in photos.rejected}
    assert set(reasons) == {
        "corrupt.jpg", "text.png", "empty.jpg", "grey16.png", "cmyk.jpg", "one.png"
    }  # fmt: skip
    assert "incomplete" in reasons["corrupt.jpg"]
    assert "not an image" in reasons["text.png"]
    assert "16-bit" in reasons["grey16.png"]
    assert "CMYK" in reasons["cmyk.jpg"]
    assert "1 x 1" in reasons["one.png"]


def test_a_photo_keeps_its_colours_and_centre(folder: Path) -> None:
    photo = read_photo(folder / "sub/good.PNG", 16)
    assert photo.shape == (16, 16, 3)
    assert photo.dtype == np.float32
    # The centre 48 of 64 columns: red from 1/8 to 7/8; rows reach from end to end.
    np.testing.assert_allclose(photo[:, 0, 0], 8 / 64 + 1.5 / 64, atol=0.03)
    assert photo[-1, 0, 1] > 0.95
    assert photo.min() >= 0.0
    assert photo.max() <= 1.0


def test_the_camera_s_orientation_is_obeyed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    gradient(32, 32).save(tmp_path / "turned.png", exif=exif)
    gradient(32, 32).save(tmp_path / "plain.png")
    turned, plain = (read_photo(tmp_path / f"{n}.png", 32) for n in ("turned", "plain"))
    np.testing.assert_array_equal(turned, plain[::-1, ::-1])


def test_transparent_pixels_become_white(tmp_path: Path) -> None:
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_photo(tmp_path / "clear.png", 8) == 1.0).all()


def test_nothing_kept_is_an_empty_array(folder: Path) -> None:
    assert read_photos([folder / "text.png"], 8).images.shape == (0, 8, 8, 3)


def test_no_folder_and_no_images_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image found"):
        list_images(tmp_path)
    with pytest.raises(UserError, match="absent"):
        list_images(tmp_path / "absent")
    with pytest.raises(UserError, match=r"absent\.jpg"):
        read_photo(tmp_path / "absent.jpg", 8)
