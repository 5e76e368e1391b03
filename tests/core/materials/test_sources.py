"""Trees of material sets: what is usable, what is left out, what is told."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.core.errors import UserError
from components.core.materials.pbr_set import load_pbr_set
from components.core.materials.sources import load_material_folder, usable_sets
from tests.core.materials.maps import write


def test_no_albedo_is_a_clear_error(tmp_path: Path) -> None:
    write(tmp_path / "rough.png", 3)
    with pytest.raises(UserError, match="no albedo"):
        load_pbr_set(tmp_path)
    with pytest.raises(UserError, match="no material found"):
        load_material_folder(str(tmp_path))
    (tmp_path / "albedo.png").write_text("hello")
    with pytest.raises(UserError, match=r"albedo\.png"):
        load_pbr_set(tmp_path)


def test_notes_of_a_tree_are_gathered_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "good/albedo.png", (9, 9, 9))
    write(tmp_path / "odd/albedo.png", (9, 9, 9))
    write(tmp_path / "odd/height.png", 0)
    found = usable_sets(tmp_path)
    assert [(note.path.name, note.reason) for note in found.notes] == [
        ("odd", "height.png: black everywhere, so not used")
    ]
    assert "odd: height.png: black" in caplog.text


def test_a_folder_of_sets_leaves_the_damaged_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "wood/planks_diff.png", (200, 100, 50), 12)
    write(tmp_path / "deep/er/PavingStones055_Color.png", (1, 2, 3))
    write(tmp_path / "bad/albedo.png", 1)
    (tmp_path / "bad/albedo.png").write_bytes(b"\x89PNG")
    found = load_material_folder(str(tmp_path), 8)
    assert [material.metadata["source"] for material in found] == ["er", "wood"]
    assert {material.size for material in found} == {(8, 8)}
    assert "bad" in caplog.text


def test_what_is_left_of_a_set_is_told_and_hidden_files_are_no_maps(tmp_path: Path) -> None:
    write(tmp_path / "good/albedo.png", (9, 9, 9))
    (tmp_path / "good/._albedo.png").write_bytes(b"as macOS writes them")
    write(tmp_path / "rest/height.png", 9)
    write(tmp_path / "rest/rough.png", 9)
    write(tmp_path / "pictures/rusty_metal.png", (9, 9, 9))
    found = usable_sets(tmp_path)
    assert [folder.name for folder in found.usable] == ["good"]
    ((path, reason),) = found.left_out
    assert path.name == "rest"
    assert "no albedo map found" in reason


def test_a_folder_that_may_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a disk's own lost+found; root may read everything."""
    write(tmp_path / "good/albedo.png", (9, 9, 9))
    (tmp_path / "lost+found").mkdir()
    opened = Path.iterdir

    def guarded(folder: Path) -> Iterator[Path]:
        if folder.name == "lost+found":
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(folder)

    monkeypatch.setattr(Path, "iterdir", guarded)
    found = usable_sets(tmp_path)
    assert [folder.name for folder in found.usable] == ["good"]
    assert [(path.name, "may not be read" in why) for path, why in found.left_out] == [
        ("lost+found", True)
    ]
