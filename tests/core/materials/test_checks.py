"""Material sets are decoded once, by several processes; what changes is looked into again."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components.core.errors import UserError
from components.core.materials import checks as module
from components.core.materials.checks import Check, check, checks
from components.core.materials.sources import Sets, usable_sets
from tests.core.materials.maps import write

SETS = 20


@pytest.fixture
def sets(tmp_path: Path) -> list[Path]:
    """Twenty sets: number 3 is damaged, 5 has a black height, the others are plain."""
    folders = [tmp_path / "sets" / f"brick{number:02d}" for number in range(SETS)]
    for folder in folders:
        write(folder / "albedo.png", (90, 60, 30))
    (folders[3] / "albedo.png").write_bytes(b"")
    write(folders[5] / "height.png", 0)
    return folders


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sets that were decoded in this process."""
    names: list[str] = []

    def counted(folder: Path) -> Check:
        names.append(folder.name)
        return check(folder)

    monkeypatch.setattr(module, "check", counted)
    return names


def judged(found: Sets) -> tuple[list[str], list[tuple[str, str]]]:
    notes = [(note.path.name, note.reason) for note in (*found.left_out, *found.notes)]
    return [folder.name for folder in found.usable], notes


def test_a_set_is_looked_into_once_until_it_changes(
    sets: list[Path], looked: list[str], tmp_path: Path
) -> None:
    root, kept = tmp_path / "sets", tmp_path / "kept"
    first = usable_sets(root, kept=kept)
    assert looked == [folder.name for folder in sets]
    assert usable_sets(root, kept=kept) == first
    assert len(looked) == SETS
    os.utime(sets[8] / "albedo.png", ns=(1, 1))
    write(sets[9] / "rough.png", 7)
    write(sets[3] / "albedo.png", (9, 9, 9))
    again = usable_sets(root, kept=kept)
    assert looked[SETS:] == ["brick03", "brick08", "brick09"]
    assert (len(first.usable), len(again.usable)) == (SETS - 1, SETS)
    assert usable_sets(root) == again  # nothing kept, so all are looked into
    assert len(looked) == 2 * SETS + 3


def test_several_processes_find_the_same(
    sets: list[Path], looked: list[str], tmp_path: Path
) -> None:
    alone = judged(usable_sets(tmp_path / "sets"))
    together = usable_sets(tmp_path / "sets", processes=2, kept=tmp_path / "kept")
    assert judged(together) == alone
    assert len(looked) == SETS  # the second time elsewhere
    usable, notes = alone
    assert usable == [folder.name for folder in sets if folder.name != "brick03"]
    assert [name for name, _ in notes] == ["brick03", "brick05"]
    assert "albedo.png" in notes[0][1]
    assert notes[1][1] == "height.png: black everywhere, so not used"


def test_what_a_killed_task_kept_in_part_costs_one_look(
    sets: list[Path], looked: list[str], tmp_path: Path
) -> None:
    checks(sets, 1, tmp_path)
    lines = (tmp_path / "checks.jsonl").read_text()
    (tmp_path / "checks.jsonl").write_text(lines[:-10])
    for _ in range(2):
        found = checks(sets, 1, tmp_path)
    assert looked[SETS:] == ["brick19"]
    assert found == [check(folder) for folder in sets]


def deadly() -> Callable[[Path], Check]:
    def look(folder: Path) -> Check:
        if folder.name == "brick07":
            os.abort()
        return check(folder)

    return look


def test_a_set_that_takes_its_process_down_is_left_out_and_tried_again(
    sets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_checker", deadly)
    found = checks(sets, 2, tmp_path)
    assert found[7].reason == "it could not be read (the process ended with exit code -6)"
    assert sum(not result.reason for result in found) == SETS - 2
    monkeypatch.undo()
    assert checks(sets, 2, tmp_path)[7] == Check("", [])


def test_a_cache_that_cannot_be_written_is_one_sentence(sets: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"kept cannot be written"):
        checks(sets, 1, tmp_path / "file" / "kept")
