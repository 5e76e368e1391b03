"""ambientCG's pages and archives become material sets."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from components.core.catalogues import ambientcg
from components.core.catalogues.address import materials_folders, parse
from components.core.catalogues.ambientcg import Materials, unpack_maps
from components.core.catalogues.download import Downloader
from components.core.catalogues.item import collect
from components.core.errors import UserError
from components.core.materials.sources import load_material_folder
from tests.core.catalogues.server import Server


def archive(names: list[str], method: int = zipfile.ZIP_STORED) -> bytes:
    stream, picture = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (16, 16), (90, 60, 30)).save(picture, "PNG")
    with zipfile.ZipFile(stream, "w", method) as packed:
        for name in names:
            packed.writestr(name, picture.getvalue())
    return stream.getvalue()


def asset(server: Server, identifier: str, kind: str = "1K-PNG") -> dict[str, Any]:
    names = [f"{identifier}_1K-PNG_{role}.png" for role in ("Color", "Roughness", "Displacement")]
    body = archive([*names, f"{identifier}.png", "readme.txt"])
    url = server.put(f"/dl/{identifier}.zip", body)
    download = {"attributes": kind, "extension": "zip", "url": url, "size": len(body)}
    return {"id": identifier, "downloads": [{"attributes": "8K-JPG"}, download], "tags": []}


@pytest.fixture
def catalogue(server: Server, downloader: Downloader) -> Materials:
    """Two pages: bricks, then wood, with a preview-only asset and a strange one between."""
    second = server.put(
        "/assets?page=2",
        {"assets": [asset(server, "Wood003"), asset(server, "Thing01")], "totalResults": 4},
    )
    first = [asset(server, "Bricks001"), asset(server, "Bricks002", kind="2K-JPG")]
    server.put("/assets", {"assets": first, "nextPageHttp": second, "totalResults": 4})
    return Materials(downloader, "1K-PNG", server.url)


def test_all_pages_are_listed_and_only_what_can_be_had(catalogue: Materials) -> None:
    assert [(i.id, i.category) for i in catalogue.items()] == [
        ("Bricks001", "brick"),
        ("Wood003", "wood"),
    ]


def test_archives_become_materials(catalogue: Materials, tmp_path: Path) -> None:
    materials = load_material_folder(str(collect(catalogue, tmp_path, 2, seed=0)))
    assert [m.category for m in materials] == ["brick", "wood"]
    assert all(m.metadata["licence"] == "CC0-1.0" for m in materials)
    assert not list(tmp_path.rglob("*.zip"))


@pytest.mark.parametrize("damage", ["no archive", "deflated"])
def test_a_damaged_archive_is_refused_and_not_kept(tmp_path: Path, damage: str) -> None:
    content = bytearray(archive(["Bricks_Color.png"], zipfile.ZIP_DEFLATED))
    content[46:56] = b"\xff" * 10  # the first packed bytes, which zlib refuses
    (tmp_path / "x.zip").write_bytes(content if damage == "deflated" else b"no archive")
    with pytest.raises(UserError, match="no whole ZIP"):
        unpack_maps(tmp_path / "x.zip", tmp_path)
    assert not (tmp_path / "x.zip").exists()


def test_members_cannot_leave_the_folder_and_bombs_do_not_unpack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "x.zip").write_bytes(archive(["../../Bricks_Color.png", "/abs/Bricks_Roughness.png"]))
    unpack_maps(inner / "x.zip", inner)
    assert {p.name for p in inner.iterdir()} == {
        "x.zip",
        "Bricks_Color.png",
        "Bricks_Roughness.png",
    }
    assert not (tmp_path / "Bricks_Color.png").exists()
    monkeypatch.setattr(ambientcg, "MAX_UNPACKED", 10)
    with pytest.raises(UserError, match="unpack to over"):
        unpack_maps(inner / "x.zip", inner)


def test_addresses_name_count_seed_and_options() -> None:
    assert parse("polyhaven://120") == (120, 0, {})
    assert parse("ambientcg://5?archive=2K-JPG&seed=7") == (5, 7, {"archive": "2K-JPG"})


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("polyhaven://", "no address"),
        ("polyhaven://many", "no address"),
        ("polyhaven://5?seed=x", "no address"),
        ("ambientcg://5?resolution=1k", "knows seed and archive"),
        ("ambientcg://5?archive=../1K", "has no archive '../1K'"),
        ("matsynth://5?size=large", "has no size large"),
    ],
)
def test_a_wrong_address_is_told(uri: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        materials_folders(uri)
