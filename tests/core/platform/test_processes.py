"""What a training process leaves for its stage when it ends."""

import errno
import os
from pathlib import Path

import psutil
import pytest

from components.core.errors import UserError
from components.core.platform.preemption import Preempted
from components.core.platform.processes import FAILURE, ending_well


def fail(work: Path, reason: str) -> None:
    with pytest.raises(SystemExit) as end, ending_well("stage", work):
        raise UserError(reason)
    assert end.value.code == 2


def test_the_first_reason_of_an_attempt_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(tmp_path, "the first")
    fail(tmp_path, "the first")  # of another process: said once
    fail(tmp_path, "another")
    assert (tmp_path / FAILURE).read_text() == "the first"
    assert capsys.readouterr().out.count("the first") == 1


@pytest.mark.parametrize("rank", ["0", "1"])
@pytest.mark.parametrize("reason", ["now", "an attempt before"])
def test_the_reason_of_an_earlier_attempt_goes_with_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rank: str,
    reason: str,
) -> None:
    """A cluster starts the processes again; also the same reason is this attempt's, and said."""
    monkeypatch.setenv("RANK", rank)
    (tmp_path / FAILURE).write_text("an attempt before")
    before = psutil.Process().create_time() - 30
    os.utime(tmp_path / FAILURE, (before, before))
    fail(tmp_path, reason)
    assert (tmp_path / FAILURE).read_text() == reason
    assert (tmp_path / FAILURE).stat().st_mtime > before
    assert capsys.readouterr().out.count(reason) == 1


@pytest.mark.parametrize(("rank", "left"), [("0", False), ("1", True)])
def test_the_first_process_removes_what_is_stale_before_anything_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str, left: bool
) -> None:
    monkeypatch.setenv("RANK", rank)
    (tmp_path / FAILURE).write_text("an attempt before")
    before = psutil.Process().create_time() - 30
    os.utime(tmp_path / FAILURE, (before, before))
    with ending_well("stage", tmp_path):
        assert (tmp_path / FAILURE).exists() == left


def test_a_full_disk_is_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also of safetensors, and where the reason itself finds no place any more."""

    def fill() -> None:
        with pytest.raises(SystemExit) as end, ending_well("stage", tmp_path):
            raise RuntimeError("I/O error: No space left on device (os error 28)")
        assert end.value.code == 2

    fill()
    assert (tmp_path / FAILURE).read_text().startswith(f"No space left on the disk of {tmp_path}: ")
    (tmp_path / FAILURE).unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", full)
        fill()
    assert not (tmp_path / FAILURE).exists()
    assert capsys.readouterr().out.count("No space left on the disk of") == 2


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_orderly_end_leaves_no_reason(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end, ending_well("stage", tmp_path):
        raise Preempted("step 3")
    assert end.value.code == 143
    assert not (tmp_path / FAILURE).exists()
