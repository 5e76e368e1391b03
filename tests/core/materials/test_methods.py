"""Materials of other methods are read and converted without loss where there is none to lose."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from components.core.errors import UserError
from components.core.materials.material import FloatArray, Material
from components.core.materials.methods import folders_of, load_method_material, slug
from components.core.materials.pixels import encode_normals, png_8
from components.core.materials.specular import to_metallic
from components.core.rendering.color import linear_to_srgb, srgb_to_linear


def split(base: FloatArray, metallic: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Diffuse and specular, sRGB, of a linear base colour: the conversion's inverse."""
    metal = metallic[..., None]
    diffuse, specular = base * (1 - metal), 0.04 * (1 - metal) + base * metal
    return linear_to_srgb(diffuse), linear_to_srgb(specular)


def bases(size: int = 16) -> FloatArray:
    return np.random.default_rng(0).uniform(0.1, 0.9, (size, size, 3)).astype(np.float32)


def test_every_mixture_comes_back() -> None:
    base = bases()
    metallic = np.random.default_rng(1).uniform(0, 1, base.shape[:2]).astype(np.float32)
    albedo, found = to_metallic(*split(base, metallic))
    assert found == pytest.approx(metallic, abs=2e-4)
    assert srgb_to_linear(albedo) == pytest.approx(base, abs=2e-4)


def test_black_and_overbright_surfaces_stay_in_range() -> None:
    zeros, ones = np.zeros((2, 2, 3), np.float32), np.ones((2, 2, 3), np.float32)
    for diffuse, specular in ((zeros, zeros), (ones, ones), (zeros, ones), (ones, zeros)):
        for values in to_metallic(diffuse, specular):
            assert values.min() >= 0.0
            assert values.max() <= 1.0
    assert to_metallic(zeros, ones)[1] == pytest.approx(1.0)
    assert to_metallic(ones, zeros)[1] == pytest.approx(0.0)


def write(folder: Path, **maps: npt.NDArray[np.floating]) -> Path:
    folder.mkdir(parents=True)
    for name, values in maps.items():
        (folder / f"{name}.png").write_bytes(png_8(values.astype(np.float32)))
    return folder


def test_a_diffuse_specular_folder_is_converted(tmp_path: Path) -> None:
    base, metallic = bases(), np.ones((16, 16), np.float32)
    metallic[:, :8] = 0
    diffuse, specular = split(base, metallic)
    up = np.zeros((16, 16, 3), np.float32)
    up[..., 2] = 1.0
    maps = {"diffuse": diffuse, "specular": specular, "normal": encode_normals(up)}
    folder = write(tmp_path / "gold", **maps, roughness=np.full((16, 16), 0.3))
    material = load_method_material(folder)
    assert material.metallic == pytest.approx(metallic, abs=0.06)
    assert srgb_to_linear(material.albedo) == pytest.approx(base, abs=0.02)
    assert material.roughness == pytest.approx(0.3, abs=0.01)
    assert material.metadata["converted_from"] == "specular"
    assert "metallic" not in material.metadata["defaults"]


@pytest.mark.parametrize(
    "name", ["specular_1k", "wall_Spec", "rock-specular-2048", "a_spec_2k_png", "specular.4k"]
)
def test_a_specular_map_is_known_by_its_last_word_but_for_its_size(
    tmp_path: Path, name: str
) -> None:
    base, metallic = bases(8), np.ones((8, 8), np.float32)
    diffuse, specular = split(base, metallic)
    folder = write(tmp_path / "m", diffuse_1k=diffuse)
    (folder / f"{name}.png").write_bytes(png_8(specular))
    assert load_method_material(folder).metallic == pytest.approx(metallic, abs=0.06)


@pytest.mark.parametrize("name", ["specular_mask", "inspect", "respec"])
def test_other_names_are_no_specular_map(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "m", diffuse=bases(8))
    (folder / f"{name}.png").write_bytes(png_8(np.ones((8, 8, 3), np.float32)))
    material = load_method_material(folder)
    assert material.metallic.max() == 0.0
    assert "metallic" in material.metadata["defaults"]


def test_photomats_layout_gets_a_height_from_its_normals(tmp_path: Path) -> None:
    """Diffuse, specular, roughness and normal; the slopes of the made height are the normals'."""
    diffuse, specular = split(bases(32), np.zeros((32, 32), np.float32))
    x = np.arange(32) / 32 * 2 * np.pi
    height = np.tile(0.5 + 0.2 * np.sin(x), (32, 1)).astype(np.float32)
    grey = np.full((32, 32), 0.5, np.float32)
    bumpy = Material(diffuse, height, grey, 0 * grey, "", "rock")
    maps = {"diffuse": diffuse, "specular": specular, "roughness": np.full((32, 32), 0.3)}
    folder = write(tmp_path / "p", **maps, normal=encode_normals(bumpy.normal()))
    found = load_method_material(folder)
    assert np.corrcoef(found.height.ravel(), height.ravel())[0, 1] > 0.99
    assert found.metallic.max() < 0.06
    assert found.metadata["defaults"] == ["height"]


def test_stablematerials_layout_is_read_as_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    grey = {name: rng.uniform(0, 1, (16, 16)) for name in ("metallic", "roughness", "height")}
    up = np.zeros((16, 16, 3), np.float32)
    up[..., 2] = 1.0
    folder = write(tmp_path / "s", basecolor=bases(), normal=encode_normals(up), **grey)
    found = load_method_material(folder)
    assert found.albedo == pytest.approx(bases(), abs=0.01)
    for name, values in grey.items():
        assert getattr(found, name) == pytest.approx(values, abs=0.01), name
    assert found.metadata["defaults"] == []
    assert "converted_from" not in found.metadata


def test_a_metallic_map_is_taken_before_a_specular_one(tmp_path: Path) -> None:
    grey = np.full((8, 8, 3), 0.5)
    folder = write(
        tmp_path / "m", basecolor=grey, specular=np.ones((8, 8, 3)), metallic=np.zeros((8, 8))
    )
    material = load_method_material(folder)
    assert material.metallic.max() == 0.0
    assert material.albedo == pytest.approx(0.5, abs=0.01)


def test_folders_follow_the_prompts(tmp_path: Path) -> None:
    prompts = ["brick, old Red wall", "rock", "brick, old Red wall"]
    for name in ("brick-old-red-wall", "brick-old-red-wall-1", "rock"):
        (tmp_path / name).mkdir()
    found = [folder.name for folder in folders_of(tmp_path, prompts)]
    assert found == ["brick-old-red-wall", "rock", "brick-old-red-wall-1"]
    assert slug(" A  b! ") == "a-b"


def test_a_missing_prompt_and_a_missing_root_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'wood, oak'"):
        folders_of(tmp_path, ["wood, oak"])
    with pytest.raises(UserError, match="one folder for each prompt"):
        folders_of(tmp_path / "none", ["wood"])
