"""Artifacts appear whole or not at all, and say what they are."""

import errno
from pathlib import Path

import pytest
from pydantic import BaseModel

from components.core.errors import UserError
from components.core.platform.artifacts import (
    hash_folder,
    new_artifact,
    open_artifact,
    read_manifest,
)


class Config(BaseModel, frozen=True):
    rows: int = 3


def write(path: Path, text: str = "a") -> Path:
    with new_artifact(path, "table", producer="writer", config=Config()) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "rows.txt").write_text(text)
    return path


def test_manifest_describes_the_content(tmp_path: Path) -> None:
    first, same, other = (
        read_manifest(write(tmp_path / name, text)).content_hash
        for name, text in (("1", "a"), ("2", "a"), ("3", "b"))
    )
    assert first == same != other
    manifest = read_manifest(tmp_path / "1")
    assert (manifest.kind, manifest.producer) == ("table", "writer")
    assert manifest.seconds >= 0


def test_renaming_a_file_changes_the_hash(tmp_path: Path) -> None:
    before = hash_folder(write(tmp_path / "t"))
    (tmp_path / "t" / "sub" / "rows.txt").rename(tmp_path / "t" / "rows.txt")
    assert hash_folder(tmp_path / "t") != before


def test_nothing_appears_when_the_writer_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        new_artifact(tmp_path / "t", "table", producer="writer", config=Config()) as folder,
    ):
        (folder / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rewrite_keeps_the_old_artifact(tmp_path: Path) -> None:
    write(tmp_path / "t", "old")
    with (
        pytest.raises(RuntimeError),
        new_artifact(tmp_path / "t", "table", producer="writer", config=Config()),
    ):
        raise RuntimeError
    assert (tmp_path / "t" / "sub" / "rows.txt").read_text() == "old"
    write(tmp_path / "t", "new")
    assert (tmp_path / "t" / "sub" / "rows.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_the_wrong_kind_is_named_with_both_kinds(tmp_path: Path) -> None:
    write(tmp_path / "t")
    assert open_artifact(tmp_path / "t", "table") == tmp_path / "t"
    with pytest.raises(UserError, match=r"'table'.*'model'"):
        open_artifact(tmp_path / "t", "model")


@pytest.mark.parametrize("content", [None, "{", '{"kind": "table"}'])
def test_a_folder_without_a_good_manifest_is_a_user_error(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json"):
        open_artifact(tmp_path, "table")


def test_a_full_disk_is_a_user_error(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="No space left"),
        new_artifact(tmp_path / "t", "table", producer="writer", config=Config()),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
