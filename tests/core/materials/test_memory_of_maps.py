"""A file of a few kilobytes may unpack to the largest image that is allowed: what that costs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.core.materials import material, pixels
from components.core.materials.material import resize
from components.core.materials.pbr_set import load_pbr_set
from components.core.materials.pixels import read_map
from components.core.rendering import environments
from components.core.rendering.environments import resampled
from tests.core.materials.maps import write, write_exr

SIDE = 3072
MEASURE = """
import sys
from pathlib import Path
from components.core.platform.memory import peak_memory
from components.core.materials.pbr_set import load_pbr_set
from components.core.rendering.environments import load_environment
def read(place):
    load_pbr_set(place, 64) if place.is_dir() else load_environment(place)
small, large = map(Path, sys.argv[1:])
read(small)
before = peak_memory()
read(large)
print(peak_memory() - before)
"""


def bytes_a_pixel(small: Path, large: Path, pixels: int) -> float:
    """By how much reading makes a process larger that has read something small."""
    command = [sys.executable, "-c", MEASURE, str(small), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) / pixels


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's")
@pytest.mark.parametrize(
    ("mode", "most"), [("RGB", 10.0), ("L", 4.0), ("I;16", 8.0), ("RGBA", 10.0)]
)
def test_a_map_of_any_kind_takes_a_few_bytes_a_pixel(
    tmp_path: Path, mode: str, most: float
) -> None:
    """Four maps, that none is kept while the next is read: as floats they had sixty to eighty."""
    for name, side in (("small", 16), ("large", SIDE)):
        (tmp_path / name).mkdir()
        for role in ("albedo", "rough", "height", "metal"):
            Image.new(mode, (side, side)).save(tmp_path / name / f"{role}.png", compress_level=1)
    assert bytes_a_pixel(tmp_path / "small", tmp_path / "large", SIDE**2) < most


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's")
def test_an_environment_takes_hardly_more_than_its_floats(tmp_path: Path) -> None:
    for name, rows in (("small", 32), ("large", SIDE // 2)):
        write_exr(tmp_path / f"{name}.hdr", np.ones((rows, 2 * rows, 3)))
    pixels = SIDE**2 // 2
    assert bytes_a_pixel(tmp_path / "small.hdr", tmp_path / "large.hdr", pixels) < 30


@pytest.mark.parametrize(("kind", "codes"), [(np.uint8, 256), (np.uint16, 65536)])
def test_every_code_is_the_float_nearest_to_its_value(
    tmp_path: Path, kind: type[np.unsignedinteger], codes: int
) -> None:
    side = int(codes**0.5)
    written = np.arange(codes).reshape(side, side)
    write(tmp_path / "albedo.png", written.astype(kind))
    expected = (written.astype(np.float64) / (codes - 1)).astype(np.float32)
    np.testing.assert_array_equal(read_map(tmp_path / "albedo.png"), expected)


@pytest.mark.parametrize("block", [1, 100, 1 << 20])
def test_blocks_of_rows_do_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (48, 60, 3)).astype(np.uint8)
    write(tmp_path / "albedo.png", codes)
    write_exr(tmp_path / "height.exr", rng.normal(size=(48, 60)))
    light = rng.gamma(0.2, 3.0, (100, 200, 3)).astype(np.float32)
    whole = load_pbr_set(tmp_path, 20), load_pbr_set(tmp_path, 100), resampled(light)
    for module in (material, pixels, environments):
        monkeypatch.setattr(module, "BLOCK", block)
    parts = load_pbr_set(tmp_path, 20), load_pbr_set(tmp_path, 100), resampled(light)
    for one, other in zip(whole[:2], parts[:2], strict=True):
        np.testing.assert_array_equal(one.albedo, other.albedo)
        np.testing.assert_array_equal(one.height, other.height)
    np.testing.assert_array_equal(whole[2], parts[2])


@pytest.mark.parametrize("size", [16, 48, 60, 100])
def test_resizing_in_two_passes_is_pillows_in_one(size: int) -> None:
    values = np.random.default_rng(0).random((48, 60)).astype(np.float32)
    method = Image.Resampling.BOX if size < 48 else Image.Resampling.BILINEAR
    expected = np.asarray(Image.fromarray(values).resize((size, size), method))
    np.testing.assert_array_equal(resize(values, size), np.clip(expected, 0.0, 1.0))
