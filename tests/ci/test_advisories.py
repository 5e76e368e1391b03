"""The check of the locks against advisories, on made-up records in the schema of OSV."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from tests.ci.programs import ROOT, load

advisories = load("advisories")
LOCK = """\
# a comment
safe==1.0 \\
    --hash=sha256:00
weak-package[extra]==2.5 ; python_version > "3" \\
    --hash=sha256:11 \\
    --hash=sha256:22
"""


def record(**changes: Any) -> dict[str, Any]:
    """An advisory about Weak_Package from 2.0 to 2.6."""
    affected = {
        "package": {"ecosystem": "PyPI", "name": "Weak_Package"},
        "ranges": [
            {"type": "GIT", "events": [{"introduced": "0"}]},
            {"type": "ECOSYSTEM", "events": [{"fixed": "2.6"}, {"introduced": "2.0"}]},
        ],
    }
    return {
        "id": "PYSEC-0000-1", "aliases": ["CVE-0000-1"], "summary": "it leaks",
        "affected": [affected | changes.pop("affected", {})],
    } | changes  # fmt: skip


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "made.lock"
    file.write_text(LOCK)
    return file


def check(
    lock: Path, content: Any, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, str]:
    """Exit code and output of the check of a lock against a database of one file."""
    database = lock.parent / "database.json"
    database.write_text(json.dumps(content))
    code = advisories.main([str(lock), "--database", str(database), *options])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_a_vulnerable_version_is_named_with_what_mends_it(
    lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = check(lock, record(), capsys)
    assert code == 1
    assert "weak-package 2.5: PYSEC-0000-1, CVE-0000-1: it leaks; fixed in 2.6" in text
    assert "2 packages, 1 findings" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"withdrawn": "2020-01-01T00:00:00Z"},
        {"affected": {"package": {"ecosystem": "npm", "name": "weak-package"}}},
        {"affected": {"package": {"ecosystem": "PyPI", "name": "weak"}}},
        {"affected": {"ranges": [], "versions": ["2.5.1", "not a version"]}},
    ],
)
def test_an_advisory_about_something_else_is_none(
    changes: dict[str, Any], lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(lock, record(**changes), capsys)[0] == 0


def test_an_accepted_finding_is_said_and_is_no_error(
    lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = check(lock, [record()], capsys, "--accept", "CVE-0000-1")
    assert code == 0
    assert "accepted: " in text
    assert check(lock, [record()], capsys, "--accept", "CVE-0000-2")[0] == 1


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([("introduced", "0")], ["0.dev0", "9"], []),
        ([("introduced", "1"), ("fixed", "2")], ["1", "1.9", "2rc1"], ["0.9", "2", "2.0.1"]),
        ([("introduced", "1"), ("last_affected", "2")], ["1", "2.0"], ["2.0.1", "3"]),
        ([("introduced", "1"), ("introduced", "3"), ("fixed", "2"), ("fixed", "4")],
         ["1.5", "3.5"], ["2.5", "4"]),
        ([("introduced", "9"), ("introduced", "10"), ("fixed", "9.5")], ["9.1", "10.1"], ["9.9"]),
        ([("introduced", "0"), ("limit", "2")], ["1.9"], ["2", "3"]),
        ([("introduced", "0"), ("fixed", "what-is-this")], ["1"], []),
    ],
)  # fmt: skip
def test_ranges_are_read_as_the_schema_says(
    events: list[tuple[str, str]], inside: list[str], outside: list[str]
) -> None:
    ranges = [{"type": "ECOSYSTEM", "events": [{kind: text} for kind, text in events]}]
    found = {
        text: advisories.is_affected({"ranges": ranges}, Version(text)) for text in inside + outside
    }
    assert found == dict.fromkeys(inside, True) | dict.fromkeys(outside, False)


def test_archive_folder_and_file_hold_the_same_records(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.json").write_text(json.dumps(record(id=f"PYSEC-0000-{number}")))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    (tmp_path / "one.json").write_text(json.dumps(list(advisories.records(folder))))
    found = [
        list(advisories.records(tmp_path / name)) for name in ("all.zip", "folder", "one.json")
    ]
    assert len(found[0]) == 2
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("content", [[], [1], {"name": "no id"}])
def test_a_database_of_nothing_is_no_clean_bill(
    content: Any, lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(lock, content, capsys)[0] == 2


def test_a_line_that_is_no_pin_is_refused(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock.write_text(LOCK + "loose>=1\n")
    code, text = check(lock, record(), capsys)
    assert code == 2
    assert "loose>=1" in text


@pytest.mark.parametrize("name", ["", "labeling/", "manifests/"])
def test_the_locks_of_this_project_are_read_whole(name: str) -> None:
    lock = ROOT / f"{name}requirements.lock"
    assert len(advisories.pinned(lock)) == lock.read_text().count("==")
