"""Downloads arrive whole or not at all, whatever the server does."""

import errno
import hashlib
from pathlib import Path

import pytest

from components.core.catalogues.download import BLOCK, USER_AGENT, Downloader
from components.core.errors import UserError
from tests.core.catalogues.server import Server

BODY = bytes(range(256)) * 1500
MD5 = hashlib.md5(BODY).hexdigest()


def fetch(server: Server, downloader: Downloader, tmp_path: Path) -> Path:
    url = server.put("/wall.png", BODY)
    return downloader.file(url, tmp_path / "wall.png", size=len(BODY), md5=MD5)


def test_a_file_arrives_under_its_name_with_nothing_beside_it(
    server: Server, downloader: Downloader, tmp_path: Path
) -> None:
    assert fetch(server, downloader, tmp_path).read_bytes() == BODY
    assert {path.name for path in tmp_path.iterdir()} == {"wall.png", ".wall.png.json"}
    (headers,) = server.asked("/wall.png")
    assert headers["user-agent"] == USER_AGENT


def test_a_file_that_is_there_is_not_fetched_again(
    server: Server, downloader: Downloader, tmp_path: Path
) -> None:
    fetch(server, downloader, tmp_path)
    fetch(server, downloader, tmp_path)
    assert len(server.asked("/wall.png")) == 1


def test_a_file_that_the_catalogue_has_changed_is_fetched_anew(
    server: Server, downloader: Downloader, tmp_path: Path
) -> None:
    fetch(server, downloader, tmp_path)
    changed = BODY[::-1]
    url = server.put("/wall.png", changed)
    md5 = hashlib.md5(changed).hexdigest()
    assert downloader.file(url, tmp_path / "wall.png", md5=md5).read_bytes() == changed


@pytest.mark.parametrize("fault", ["429", "500", "503"])
def test_a_busy_server_is_asked_again(
    server: Server, downloader: Downloader, tmp_path: Path, fault: str
) -> None:
    server.faults["/wall.png"] = [fault]
    assert fetch(server, downloader, tmp_path).read_bytes() == BODY
    assert len(server.asked("/wall.png")) == 2


@pytest.mark.parametrize("ranges", [True, False])
def test_a_truncated_body_is_continued(
    server: Server, downloader: Downloader, tmp_path: Path, ranges: bool
) -> None:
    server.ranges = ranges
    server.faults["/wall.png"] = ["truncated"]
    assert fetch(server, downloader, tmp_path).read_bytes() == BODY
    first, second = server.asked("/wall.png")
    assert "range" not in first
    assert second["range"] == f"bytes={BLOCK * (len(BODY) // 2 // BLOCK)}-"


def test_an_interrupted_download_goes_on_in_the_next_run(server: Server, tmp_path: Path) -> None:
    hasty = Downloader(retries=0, backoff=0.0)
    server.faults["/wall.png"] = ["truncated"]
    with pytest.raises(UserError, match="run again to continue"):
        fetch(server, hasty, tmp_path)
    assert not (tmp_path / "wall.png").exists()
    assert fetch(server, hasty, tmp_path).read_bytes() == BODY
    assert server.asked("/wall.png")[1]["range"] == f"bytes={BLOCK * (len(BODY) // 2 // BLOCK)}-"


def test_a_damaged_file_is_fetched_once_more_then_refused(
    server: Server, downloader: Downloader, tmp_path: Path
) -> None:
    server.faults["/wall.png"] = ["damaged"]
    assert fetch(server, downloader, tmp_path).read_bytes() == BODY
    server.faults["/wall.png"] = ["damaged"] * 9
    (tmp_path / "wall.png").unlink()
    with pytest.raises(UserError, match="damaged"):
        fetch(server, downloader, tmp_path)
    assert not list(tmp_path.glob("wall.png*"))


def test_a_missing_file_is_refused_at_once(
    server: Server, downloader: Downloader, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="status 404"):
        downloader.file(server.url + "/nothing.png", tmp_path / "nothing.png")
    assert len(server.asked("/nothing.png")) == 1


def test_no_connection_is_one_sentence(downloader: Downloader, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no connection"):
        downloader.file("http://127.0.0.1:9/wall.png", tmp_path / "wall.png")
    with pytest.raises(UserError, match="no connection"):
        downloader.json("http://127.0.0.1:9/assets")


def test_a_full_disk_is_told_and_nothing_has_the_files_name(
    server: Server, downloader: Downloader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Downloader, "_receive", full)
    with pytest.raises(UserError, match="disk is full"):
        fetch(server, downloader, tmp_path)
    assert not (tmp_path / "wall.png").exists()


def test_an_answer_that_is_no_json_is_a_user_error(server: Server, downloader: Downloader) -> None:
    url = server.put("/assets", b"<html>maintenance</html>")
    with pytest.raises(UserError, match="did not answer with JSON"):
        downloader.json(url)
