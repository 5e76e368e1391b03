"""A material's folder: exact on the lattice of 8 and 16 bits, whole, and clear about damage."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.core.errors import UserError
from components.core.materials.files import load_material, save_material
from components.core.materials.material import Material


def quantised(size: int = 12) -> Material:
    rng = np.random.default_rng(0)

    def codes(levels: int, *shape: int) -> np.ndarray:
        return (rng.integers(0, levels + 1, shape) / levels).astype(np.float32)

    return Material(
        codes(255, size, size, 3),
        codes(65535, size, size),
        codes(255, size, size),
        codes(255, size, size),
        caption="old red brick wall",
        category="brick",
        metadata={"seed": 3},
    )


def test_round_trip_is_exact(tmp_path: Path) -> None:
    material = quantised()
    save_material(material, tmp_path / "brick", model="small")
    loaded = load_material(tmp_path / "brick")
    for name, values in material.maps().items():
        np.testing.assert_array_equal(loaded.maps()[name], values, err_msg=name)
    assert (loaded.caption, loaded.category) == ("old red brick wall", "brick")
    assert loaded.metadata == {"seed": 3, "model": "small"}


def test_layout_and_depths(tmp_path: Path) -> None:
    save_material(quantised(), tmp_path / "a" / "brick")
    found = {file.name for file in (tmp_path / "a" / "brick").iterdir()}
    maps = {f"{name}.png" for name in ("albedo", "height", "roughness", "metallic", "normal")}
    assert found == maps | {"material.json"}
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["brick"]
    assert Image.open(tmp_path / "a/brick/height.png").mode.startswith("I")
    assert Image.open(tmp_path / "a/brick/roughness.png").mode == "L"
    assert json.loads((tmp_path / "a/brick/material.json").read_text())["category"] == "brick"


def test_normals_are_opengl(tmp_path: Path) -> None:
    full = np.full((16, 16), 0.5, np.float32)
    rise_up = np.repeat(np.linspace(1, 0, 16, dtype=np.float32)[:, None], 16, axis=1)
    save_material(Material(np.repeat(full[..., None], 3, -1), rise_up, full, full), tmp_path / "m")
    normal = np.asarray(Image.open(tmp_path / "m/normal.png")).astype(int)
    # The surface rises towards the image's top, so it leans down: green below the middle.
    assert (normal[4:12, :, 1] < 127).all()
    assert (abs(normal[4:12, :, 0] - 127.5) < 1).all()


def test_saving_again_replaces(tmp_path: Path) -> None:
    save_material(quantised(), tmp_path / "m")
    save_material(quantised(8), tmp_path / "m")
    assert load_material(tmp_path / "m").size == (8, 8)


@pytest.mark.parametrize("victim", ["albedo.png", "height.png", "material.json"])
def test_damage_is_named(tmp_path: Path, victim: str) -> None:
    save_material(quantised(), tmp_path / "m")
    (tmp_path / "m" / victim).write_bytes(b"not what it should be")
    with pytest.raises(UserError, match=victim.replace(".", r"\.")):
        load_material(tmp_path / "m")


def test_missing_and_mismatched_maps_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"albedo\.png"):
        load_material(tmp_path)
    save_material(quantised(), tmp_path / "m")
    Image.new("L", (5, 5)).save(tmp_path / "m/roughness.png")
    with pytest.raises(UserError, match=r"roughness\.png.*size"):
        load_material(tmp_path / "m")
    (tmp_path / "m/height.png").unlink()
    with pytest.raises(UserError, match=r"height\.png"):
        load_material(tmp_path / "m")
