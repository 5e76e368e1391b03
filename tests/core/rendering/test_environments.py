"""Environments have irradiance pi, keep their sky above, and bad files are named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.core.catalogues.item import SET_ASIDE
from components.core.errors import UserError
from components.core.rendering.embedded import KINDS, embedded_environments
from components.core.rendering.environments import (
    Environment,
    irradiance,
    load_environment,
    load_environments,
    normalised,
    resampled,
    usable_environments,
)
from components.core.rendering.variant import mitsuba


def write_hdr(path: Path, radiance: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    mitsuba().Bitmap(radiance.astype(np.float32)).write(str(path))


def test_constant_light_of_radiance_one_has_irradiance_pi() -> None:
    np.testing.assert_allclose(irradiance(np.ones((32, 64, 3), np.float32)), np.pi, rtol=1e-4)


def test_only_the_upper_half_counts() -> None:
    radiance = np.zeros((64, 128, 3), np.float32)
    radiance[33:] = 5.0
    assert irradiance(radiance).max() < 0.01
    radiance[:31] = 1.0
    assert irradiance(radiance).min() > 3.0


def test_every_channel_of_any_environment_is_normalised_to_pi() -> None:
    random = np.random.default_rng(0).gamma(0.2, 3.0, (16, 32, 3)) * [0.1, 1.0, 20.0]
    light = normalised(Environment("random", random.astype(np.float32)))
    np.testing.assert_allclose(irradiance(light.radiance), np.pi, rtol=1e-5)


def test_an_environment_without_light_from_above_is_refused() -> None:
    with pytest.raises(UserError, match="night"):
        normalised(Environment("night", np.zeros((16, 32, 3), np.float32)))


def test_resampling_keeps_the_light_of_a_sun_of_one_pixel() -> None:
    rows, columns = 300, 600
    image = np.full((rows, columns, 3), 0.5, np.float32)
    image[70, 111] = 5000.0
    theta = (np.arange(rows) + 0.5) / rows * np.pi
    area = np.sin(theta) * np.cos(theta) * (np.pi / rows) * (2 * np.pi / columns)
    expected = np.einsum("h,hwc->c", np.maximum(area, 0), image.astype(np.float64))
    np.testing.assert_allclose(irradiance(resampled(image)), expected, rtol=0.02)


def test_resampling_keeps_directions() -> None:
    image = np.zeros((64, 128, 3), np.float32)
    image[16, 96] = 1.0
    row, column = np.unravel_index(resampled(image)[..., 0].argmax(), (128, 256))
    assert abs(row - 16.5 / 64 * 127) <= 1.0
    assert abs(column + 0.5 - 96.5 * 2) <= 1.5


def test_embedded_environments_are_different_and_do_not_depend_on_their_number() -> None:
    few, many = embedded_environments(3, seed=1), embedded_environments(len(KINDS), seed=1)
    for one, other in zip(few, many, strict=False):
        np.testing.assert_array_equal(one.radiance, other.radiance)
    assert len({light.name for light in many}) == len(many)
    for light in many:
        assert light.radiance.shape == (128, 256, 3)
        assert light.radiance.dtype == np.float32
        assert light.radiance.min() >= 0.0
        np.testing.assert_allclose(irradiance(light.radiance), np.pi, rtol=1e-5)
    other_seed = embedded_environments(1, seed=2)[0]
    assert np.abs(other_seed.radiance - many[0].radiance).max() > 0.1


@pytest.mark.parametrize("suffix", [".hdr", ".exr"])
def test_files_are_read_and_normalised(tmp_path: Path, suffix: str) -> None:
    write_hdr(tmp_path / f"room{suffix}", np.full((32, 64, 3), [0.5, 1.0, 2.0]))
    light = load_environment(tmp_path / f"room{suffix}")
    assert light.name == "room"
    assert light.radiance.shape == (128, 256, 3)
    np.testing.assert_allclose(light.radiance, 1.0, rtol=2e-3)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"not an image",
    ],
)
def test_damaged_files_are_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "broken.hdr"
    write_hdr(file, np.random.default_rng(0).random((32, 64, 3)))
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError, match=r"broken\.hdr"):
        load_environment(file)


def test_nan_wrong_shape_and_missing_files_are_named(tmp_path: Path) -> None:
    radiance = np.ones((32, 64, 3))
    radiance[3, 3] = np.nan
    write_hdr(tmp_path / "nan.exr", radiance)
    with pytest.raises(UserError, match=r"nan\.exr.*NaN"):
        load_environment(tmp_path / "nan.exr")
    write_hdr(tmp_path / "square.hdr", np.ones((32, 32, 3)))
    with pytest.raises(UserError, match=r"square\.hdr.*twice as wide"):
        load_environment(tmp_path / "square.hdr")
    with pytest.raises(UserError, match=r"absent\.hdr"):
        load_environment(tmp_path / "absent.hdr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no environment found"):
        load_environments(tmp_path / "empty")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_radiance_is_refused(tmp_path: Path, value: float) -> None:
    radiance = np.ones((32, 64, 3))
    radiance[5, 5] = value
    write_hdr(tmp_path / "sun.exr", radiance)
    with pytest.raises(UserError, match=r"sun\.exr.*infinite"):
        load_environment(tmp_path / "sun.exr")


def test_negative_radiance_counts_as_dark(tmp_path: Path) -> None:
    radiance = np.ones((32, 64, 3))
    dark = radiance.copy()
    radiance[4:8, 4:8], dark[4:8, 4:8] = -3.0, 0.0
    for name, image in (("negative", radiance), ("dark", dark)):
        write_hdr(tmp_path / f"{name}.exr", image)
    one, other = (load_environment(tmp_path / f"{n}.exr") for n in ("negative", "dark"))
    np.testing.assert_array_equal(one.radiance, other.radiance)
    assert one.radiance.min() >= 0
    assert (one.notes, other.notes) == (("16 pixels of negative radiance count as dark",), ())
    found = usable_environments(tmp_path)
    assert [(file.name, note) for file, note in found.notes] == [("negative.exr", one.notes[0])]
    assert [file.name for file in found.files] == ["dark.exr", "negative.exr"]


def test_what_a_catalogue_could_not_give_is_told(tmp_path: Path) -> None:
    write_hdr(tmp_path / "field" / "field.exr", np.ones((32, 64, 3)))
    (tmp_path / SET_ASIDE).write_text('{"id": "moor", "reason": "moor: status 404"}\n')
    assert usable_environments(tmp_path).left_out == [(tmp_path / "moor", "moor: status 404")]


def test_one_bad_file_of_a_folder_is_set_aside_and_one_given_alone_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        write_hdr(tmp_path / f"sky{number}.hdr", np.ones((32, 64, 3)))
    (tmp_path / "bad.hdr").write_bytes(b"")
    (tmp_path / "._sky0.hdr").write_bytes(b"as macOS writes them")
    found = usable_environments(tmp_path)
    assert [each.name for each in found.environments] == ["sky0", "sky1", "sky2"]
    assert [path.name for path, _ in found.left_out] == ["bad.hdr"]
    assert "bad.hdr" in caplog.text
    with pytest.raises(UserError, match=r"bad\.hdr"):
        load_environments(tmp_path / "bad.hdr")
    (tmp_path / "sky0.hdr").write_bytes(b"")
    with pytest.raises(UserError, match=r"sky0\.hdr"):  # half of them: something else is wrong
        load_environments(tmp_path)


def test_lights_of_several_places_are_taken_together(tmp_path: Path) -> None:
    for place, names in (("a", ["dusk"]), ("b", ["dawn", "noon"])):
        for name in names:
            write_hdr(tmp_path / place / f"{name}.exr", np.ones((32, 64, 3)))
    places = [tmp_path / "b", tmp_path / "a" / "dusk.exr", tmp_path / "b"]
    found = usable_environments(",".join(map(str, places)))
    assert [light.name for light in found.environments] == ["dawn", "noon", "dusk"]
    assert [file.name for file in found.files] == ["dawn.exr", "noon.exr", "dusk.exr"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no environment found"):
        load_environments(f"{tmp_path / 'a'},{tmp_path / 'empty'}")


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    lines = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 100000 +X 200000\n"
    (tmp_path / "huge.hdr").write_bytes(lines + bytes(64))
    with pytest.raises(UserError, match=r"huge\.hdr: 200000 x 100000 pixels are too many"):
        load_environment(tmp_path / "huge.hdr")
