"""Models of a registry's server on this machine: two at most, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.materials.kept import KeptModels
from components.core.errors import Unreachable, UserError
from components.core.generator import ARTIFACT, ModelVersion

URI = "models:/stones@champion"


class Server:
    """A registry whose alias stands for `number`; counts what is downloaded."""

    def __init__(self) -> None:
        self.number, self.down, self.downloads, self.breaks = "1", False, list[str](), False

    def version(self, uri: str) -> ModelVersion:
        if self.down:
            raise Unreachable("no answer")
        return ModelVersion("stones", self.number, "champion")

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        self.downloads.append(version.version)
        place = into / "model" / "artifacts" / ARTIFACT
        place.mkdir(parents=True)
        if self.breaks:
            raise Unreachable("the connection broke")
        (place / "generator.json").write_text("{}")
        return into / "model"


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def kept(server: Server, tmp_path: Path) -> KeptModels:
    return KeptModels(tmp_path / "models", server.version, server.fetch)


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir() if p.is_dir()}


def test_a_version_is_downloaded_once_and_two_stay(
    server: Server, kept: KeptModels, tmp_path: Path
) -> None:
    for server.number in ("1", "1", "2", "1", "3"):
        folder, version = kept.find(URI)
        assert version.version == server.number
        assert (folder / "generator.json").is_file()
        assert len(names(tmp_path / "models")) <= 2
    assert server.downloads == ["1", "2", "3"]
    assert names(tmp_path / "models") == {"stones-1", "stones-3"}  # 2 was used longest ago


def test_a_restart_without_the_server_goes_on_with_the_last_one(
    server: Server, kept: KeptModels, tmp_path: Path
) -> None:
    server.down = True
    with pytest.raises(Unreachable):
        kept.find(URI)
    server.down = False
    found = kept.find(URI)
    server.down = True
    again = KeptModels(tmp_path / "models", server.version, server.fetch)
    assert again.find(URI) == found
    with pytest.raises(Unreachable):
        again.find("models:/others@champion")  # never served


def test_a_broken_download_leaves_nothing(server: Server, kept: KeptModels, tmp_path: Path) -> None:
    kept.find(URI)
    server.number, server.breaks = "2", True
    with pytest.raises(Unreachable):
        kept.find(URI)
    assert [p.name for p in (tmp_path / "models").iterdir() if p.is_dir()] == ["stones-1"]
    server.breaks = False
    assert kept.find(URI)[1].version == "2"


def test_what_is_no_generator_is_refused_and_not_noted(server: Server, tmp_path: Path) -> None:
    def reward(version: ModelVersion, into: Path) -> Path:
        (into / "model" / "artifacts" / "reward").mkdir(parents=True)
        return into / "model"

    kept = KeptModels(tmp_path / "models", server.version, reward)
    with pytest.raises(UserError, match="no material model"):
        kept.find(URI)
    server.down = True
    with pytest.raises(Unreachable):
        kept.find(URI)
