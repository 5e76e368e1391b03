"""Heights from normals, and when these are used."""

from pathlib import Path

import numpy as np

from components.core.materials.material import Material
from components.core.materials.pbr_set import height_from_normals, load_pbr_set
from components.core.materials.pixels import encode_normals
from tests.core.materials.maps import write


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
