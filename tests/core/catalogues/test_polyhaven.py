"""Poly Haven's answers become material sets and environments with their licence."""

import hashlib
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.core.catalogues.download import Downloader
from components.core.catalogues.item import categorised, choose, collect, set_aside
from components.core.catalogues.polyhaven import Environments, Textures
from components.core.errors import UserError
from components.core.materials.sources import load_material_folder
from tests.core.catalogues.server import Server


def picture(colour: tuple[int, int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(stream, "PNG")
    return stream.getvalue()


def offered(server: Server, name: str, body: bytes) -> dict[str, Any]:
    return {
        "url": server.put(f"/dl/{name}", body),
        "md5": hashlib.md5(body).hexdigest(),
        "size": len(body),
    }


def texture(server: Server, identifier: str, colour: tuple[int, int, int]) -> None:
    """One texture's files, in the shape of the API's /files answer."""
    maps = {"Diffuse": "diff", "Rough": "rough", "Displacement": "disp", "nor_gl": "nor_gl"}
    files: dict[str, Any] = {
        key: {
            "1k": {"png": offered(server, f"{identifier}_{word}_1k.png", picture(colour))},
            "2k": {"png": offered(server, f"{identifier}_{word}_2k.png", picture(colour))},
        }
        for key, word in maps.items()
    }
    files["gltf"] = {"1k": {"gltf": {"url": "unused", "include": {}}}}
    files["tiling_count"] = 1
    server.put(f"/files/{identifier}", files)


@pytest.fixture
def textures(server: Server, downloader: Downloader) -> Textures:
    assets = {
        "red_wall": {"name": "Red Wall", "tags": ["brick", "old"], "authors": {"A. Person": "All"}},
        "oak_planks": {"name": "Oak Planks", "categories": ["wood"]},
        "odd_thing": {"name": "Odd Thing", "tags": ["misc"]},
    }
    server.put("/assets", assets)
    texture(server, "red_wall", (150, 50, 40))
    texture(server, "oak_planks", (120, 90, 60))
    return Textures(downloader, "1k", server.url)


def test_textures_are_listed_with_category_licence_and_authors(textures: Textures) -> None:
    oak, wall = textures.items()
    assert (oak.id, oak.category) == ("oak_planks", "wood")
    assert (wall.category, wall.licence, list(wall.authors)) == ("brick", "CC0-1.0", ["A. Person"])
    assert wall.page.endswith("/red_wall")


def test_a_collection_is_read_as_materials(
    textures: Textures, server: Server, tmp_path: Path
) -> None:
    chosen = collect(textures, tmp_path, 2, seed=0)
    oak, wall = load_material_folder(str(chosen), 16)
    assert (wall.category, wall.caption) == ("brick", "red wall")
    assert wall.metadata["licence"] == "CC0-1.0"
    assert np.allclose(wall.albedo.mean((0, 1)) * 255, (150, 50, 40), atol=1)
    assert not oak.metadata["defaults"] or oak.metadata["defaults"] == ["metallic"]
    assert not any("2k" in path for path, _ in server.requests)
    hidden = [p for p in chosen.rglob("*") if p.name.startswith(".") or p.suffix == ".part"]
    assert not hidden


def test_an_interrupted_collection_goes_on(
    textures: Textures, server: Server, tmp_path: Path
) -> None:
    server.faults["/dl/red_wall_rough_1k.png"] = ["404"]
    with pytest.raises(UserError, match="404"):
        collect(textures, tmp_path, 2, seed=0)
    assert [p.name for p in (tmp_path / "items").glob("[!.]*")] == ["oak_planks"]
    assert not list(tmp_path.glob("choice*"))
    chosen = collect(textures, tmp_path, 2, seed=0)
    assert len(load_material_folder(str(chosen), 16)) == 2
    assert len(server.asked("/dl/oak_planks_diff_1k.png")) == 1
    assert len(server.asked("/dl/red_wall_diff_1k.png")) == 1


def test_environments_are_radiance_files(
    server: Server, downloader: Downloader, tmp_path: Path
) -> None:
    server.put("/assets", {"field": {"name": "Field"}})
    body = b"#?RADIANCE stand-in"
    server.put("/files/field", {"hdri": {"1k": {"hdr": offered(server, "field_1k.hdr", body)}}})
    chosen = collect(Environments(downloader, "1k", server.url), tmp_path, 1, seed=0)
    assert (chosen / "field" / "field_1k.hdr").read_bytes() == body
    assert json.loads((chosen / "field" / "material.json").read_text())["licence"] == "CC0-1.0"
    with pytest.raises(UserError, match="8k"):
        collect(Environments(downloader, "8k", server.url), tmp_path / "other", 1, seed=0)


def test_a_hostile_id_never_becomes_a_path(
    server: Server, downloader: Downloader, tmp_path: Path
) -> None:
    server.put("/assets", {"../evil": {"name": "Brick"}})
    with pytest.raises(UserError, match="no folder name"):
        collect(Textures(downloader, "1k", server.url), tmp_path / "set", 1, seed=0)


def test_a_larger_choice_contains_the_smaller(textures: Textures) -> None:
    items = [replace(textures.items()[0], id=f"wall_{n:02d}") for n in range(40)]
    small, large = (choose(items, count, seed=3) for count in (5, 12))
    assert len(large) == 12
    assert all(item in large for item in small)
    assert large != choose(items, 12, seed=4)


def test_a_choice_hardly_changes_when_the_catalogue_grows(textures: Textures) -> None:
    items = [replace(textures.items()[0], id=f"wall_{n:02d}") for n in range(40)]
    before = choose(items[:25] + items[26:], 12, seed=3)
    after = choose(items, 12, seed=3)
    assert len([item for item in before if item not in after]) <= 1
    # Each seems as likely as any other.
    often = Counter(item.id for seed in range(200) for item in choose(items, 12, seed))
    assert all(30 < often[item.id] < 95 for item in items)


@pytest.mark.parametrize(
    ("name", "hints", "category"),
    [
        ("Forest Leaves 02", (), "leaves"),
        ("Thing", (["outdoor", "gravel"],), "pebble"),
        ("Thing", (["outdoor"], ["Fabric"]), "fabric"),
        ("Thing", (["outdoor"],), ""),
    ],
)
def test_categories_come_from_the_name_then_the_tags(
    name: str, hints: tuple[list[str], ...], category: str
) -> None:
    assert categorised(name, *hints) == category


@pytest.mark.parametrize(
    "answer", [{"red_wall": {"title": "Red Wall"}}, {"red_wall": "gone"}, ["red_wall"]]
)
def test_answers_of_another_form_are_one_sentence(
    server: Server, downloader: Downloader, tmp_path: Path, answer: Any
) -> None:
    server.put("/assets", answer)
    with pytest.raises(UserError, match="Poly Haven textures: the catalogue answers in another"):
        collect(Textures(downloader, "1k", server.url), tmp_path, 1, seed=0)


def test_one_item_whose_files_are_of_another_form_is_set_aside(
    server: Server, downloader: Downloader, tmp_path: Path
) -> None:
    names = [f"wall_{n:02d}" for n in range(20)]
    server.put("/assets", {name: {"name": "Brick wall"} for name in names})
    for name in names:
        texture(server, name, (150, 50, 40))
    server.put("/files/wall_07", {"Diffuse": {"1k": {"png": {"address": "elsewhere"}}}})
    chosen = collect(Textures(downloader, "1k", server.url), tmp_path, 20, seed=0)
    ((left_out, reason),) = set_aside(chosen)
    assert left_out == "wall_07"
    assert "another form" in reason
