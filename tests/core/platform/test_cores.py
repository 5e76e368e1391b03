"""A quota of processor time counts as cores: in a pod, all cores of the machine can be seen."""

import os
from pathlib import Path

import pytest

from components.core.platform.cores import cores

SEEN = 64


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 64 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(SEEN), raising=False)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n")


def found(tmp_path: Path, names: str = "0::/") -> int:
    write(tmp_path / "own", names)
    return cores(tmp_path / "groups", tmp_path / "own")


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("1600000 100000", 16),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("9900000 100000", SEEN),
        ("max 100000", SEEN),
        ("", SEEN),
    ],
)
def test_a_containers_quota_is_rounded_up(tmp_path: Path, quota: str, expected: int) -> None:
    write(tmp_path / "groups/cpu.max", quota)
    assert found(tmp_path) == expected


def test_the_groups_around_a_group_limit_it_too(tmp_path: Path) -> None:
    write(tmp_path / "groups/pods/cpu.max", "800000 100000")
    write(tmp_path / "groups/pods/one/cpu.max", "max 100000")
    write(tmp_path / "groups/pods/other/cpu.max", "200000 100000")
    assert found(tmp_path, "0::/pods/one") == 8
    assert found(tmp_path, "0::/pods/other") == 2
    assert found(tmp_path, "0::/elsewhere") == SEEN


@pytest.mark.parametrize("name", ["/", "/kubepods/pod1", "/a/b"])
def test_the_older_control_groups_are_read(tmp_path: Path, name: str) -> None:
    """A container may see its own as the root, under the machine's name for it, or by its name."""
    place = "groups/cpu/a" if name == "/a/b" else "groups/cpu"
    write(tmp_path / place / "cpu.cfs_quota_us", "450000")
    write(tmp_path / place / "cpu.cfs_period_us", "100000")
    assert found(tmp_path, f"7:memory:/x\n4:cpu,cpuacct:{name}\n0::/init.scope") == 5
    write(tmp_path / place / "cpu.cfs_quota_us", "-1")
    assert found(tmp_path, f"4:cpu,cpuacct:{name}") == SEEN


def test_without_control_groups_the_cores_count(tmp_path: Path) -> None:
    assert cores(tmp_path / "nothing", tmp_path / "none") == SEEN
    assert cores() >= 1
