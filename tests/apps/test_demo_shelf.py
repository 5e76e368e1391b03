"""What was made stays for a while, belongs to its session, and leaves in every format."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apps.materials.shelf import DOWNLOADS, MAPS, Missing, Shelf
from components.core.errors import UserError
from components.core.materials.material import Material
from tests.evaluation.micro import FlatRenderer, environments


def material(seed: int = 7, size: int = 8) -> Material:
    ramp = np.tile(np.linspace(0, 1, size, dtype=np.float32), (size, 1))
    albedo = np.stack([ramp, ramp.T, ramp], -1)
    known = {"seed": seed, "model": "realmat", "version": "3", "reinforced": True}
    return Material(albedo, ramp, ramp.T, ramp * 0, "red brick", "brick", known)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def opened(folder: Path, clock: Clock | None = None, count: int = 10) -> Shelf:
    return Shelf(
        folder, FlatRenderer(), environments(), keep_seconds=100, keep_count=count,
        clock=clock or Clock(),
    )  # fmt: skip


def test_a_session_finds_its_own_also_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    shelf = opened(tmp_path, clock)
    first = shelf.put(material(1), "mine", "flat 1.0", 0.25)
    clock.now += 1
    second = shelf.put(material(2), "mine", "flat 1.0", None)
    other = shelf.put(material(3), "theirs", "flat 1.0", 0.5)
    for look in (shelf, opened(tmp_path, clock)):
        assert [card.id for card in look.of_session("mine")] == [second, first]
        assert [card.id for card in look.of_session("theirs")] == [other]
        assert look.of_session("nobody") == []
        assert look.card(first).score == 0.25
        assert look.card(second).score is None
        np.testing.assert_allclose(look.material(first).albedo, material(1).albedo, atol=0.003)
    everything = b"".join(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())
    assert b"mine" not in everything


def test_old_and_too_many_materials_go(tmp_path: Path) -> None:
    clock = Clock()
    shelf = opened(tmp_path, clock, count=3)
    names = []
    for number in range(4):
        names.append(shelf.put(material(number), "s", "flat 1.0", 0.1))
        clock.now += 1
    assert [card.id for card in shelf.of_session("s")] == names[:0:-1]
    with pytest.raises(Missing):
        shelf.file(names[0], "plane.glb")
    clock.now += 97.5  # names[1] is over its time now
    shelf.forget_old()
    assert len(shelf.of_session("s")) == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../../etc", "/etc/passwd", "a" * 16, "a" * 15 + "\n", "%2e%2e"]
)
def test_only_ids_of_materials_lead_anywhere(tmp_path: Path, name: str) -> None:
    shelf = opened(tmp_path / "shelf")
    (tmp_path / "shelf" / ("a" * 16)).mkdir()
    for get in (shelf.card, shelf.words, shelf.rendering, lambda n: shelf.file(n, "albedo.png")):
        with pytest.raises(Missing):
            get(name)


def test_every_download_holds_the_material(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    name = shelf.put(material(), "s", "flat 1.0", 0.25)
    content = {kind: shelf.file(name, kind) for kind in (*DOWNLOADS, *MAPS, "material.json")}
    assert json.loads(content["material.json"])["realism"] == 0.25
    for kind in ("material.zip", "materialx.zip"):
        with zipfile.ZipFile(io.BytesIO(content[kind])) as archive:
            assert {"albedo.png", "material.json"} <= set(archive.namelist())
    assert content["plane.glb"][:4] == content["sphere.glb"][:4] == b"glTF"
    assert zipfile.ZipFile(io.BytesIO(content["material.usdz"])).namelist()[0] == "material.usdc"
    surface = np.frombuffer(content["surface.bin"], "<f2").reshape(8, 8, 4)
    stored = material()
    np.testing.assert_allclose(surface[..., 0], stored.height, atol=1e-3)
    np.testing.assert_allclose(surface[..., 1], stored.roughness, atol=0.004)
    assert {kind: shelf.file(name, kind) for kind in content} == content


def test_each_light_is_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = opened(tmp_path)
    name = shelf.put(material(), "s", "flat 1.0", None)
    bright, dark = shelf.rendering(name), shelf.rendering(name, "flat 0.6")
    pixels = [np.asarray(Image.open(io.BytesIO(png))).mean() for png in (bright, dark)]
    assert pixels[0] > pixels[1] + 10
    monkeypatch.setattr(shelf, "renderer", None)
    assert shelf.rendering(name, "flat 1.0") == bright
    with pytest.raises(UserError, match="no light"):
        shelf.rendering(name, "../../secret")
