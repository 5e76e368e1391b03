"""Downloads arrive whole or not at all, whatever the server does."""

import errno
import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from components.core.catalogues.download import BLOCK, PATIENCE, USER_AGENT, Downloader
from components.core.errors import Unreachable, UserError
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
    assert headers["accept-encoding"] == "identity"  # places in a packed body are other places


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
    with pytest.raises(UserError, match="status 404") as told:
        downloader.file(server.url + "/nothing.png", tmp_path / "nothing.png")
    assert len(server.asked("/nothing.png")) == 1
    assert not isinstance(told.value, Unreachable)


def test_a_download_goes_on_only_with_the_same_file(
    server: Server, downloader: Downloader, tmp_path: Path
) -> None:
    hasty, url = Downloader(retries=0, backoff=0.0), server.put("/wall.png", BODY)
    server.tags["/wall.png"] = '"one"'
    server.faults["/wall.png"] = ["truncated"]
    with pytest.raises(Unreachable):
        hasty.file(url, tmp_path / "wall.png")
    server.put("/wall.png", BODY[::-1])
    server.tags["/wall.png"] = '"two"'
    assert hasty.file(url, tmp_path / "wall.png").read_bytes() == BODY[::-1]
    assert server.asked("/wall.png")[1]["if-range"] == '"one"'
    assert {path.name for path in tmp_path.iterdir()} == {"wall.png", ".wall.png.json"}
    (tmp_path / "wall.png").unlink()
    server.faults["/wall.png"] = ["truncated"]  # of the same file: the rest is enough
    assert downloader.file(url, tmp_path / "wall.png").read_bytes() == BODY[::-1]
    assert server.asked("/wall.png")[3]["if-range"] == '"two"'
    assert server.asked("/wall.png")[3]["range"] == f"bytes={BLOCK * (len(BODY) // 2 // BLOCK)}-"


@pytest.mark.parametrize("fault", ["503", "429", "truncated"])
def test_tries_are_counted_once(server: Server, tmp_path: Path, fault: str) -> None:
    server.faults["/wall.png"] = [fault] * 99
    server.put("/wall.png", BODY[: BLOCK // 2])
    for call in (
        lambda it: it.file(server.url + "/wall.png", tmp_path / "wall.png"),
        lambda it: it.part(server.url + "/wall.png", 0, 100),
    ):
        before = len(server.requests)
        with pytest.raises(Unreachable):
            call(Downloader(retries=3, backoff=0.0))
        assert len(server.requests) - before == 4


def test_no_connection_is_one_sentence(downloader: Downloader, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no connection"):
        downloader.file("http://127.0.0.1:9/wall.png", tmp_path / "wall.png")
    with pytest.raises(UserError, match="no connection"):
        downloader.json("http://127.0.0.1:9/assets")


def test_a_server_that_says_when_is_asked_then(
    server: Server, downloader: Downloader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=300), usegmt=True)
    patient = Downloader(retries=4, backoff=0.0)
    server.faults["/wall.png"] = ["429 7", f"429 {date}", f"429 {past}", "429 999999"]
    assert fetch(server, patient, tmp_path).read_bytes() == BODY
    assert len(server.asked("/wall.png")) == 5
    seconds, until, longest = waits
    assert seconds == 7
    assert until == pytest.approx(300, abs=30)
    assert longest == PATIENCE


def test_a_server_that_stays_busy_is_given_up(
    server: Server, downloader: Downloader, tmp_path: Path
) -> None:
    server.faults["/wall.png"] = ["429"] * 99
    with pytest.raises(UserError, match=r"status 429.*run again to continue"):
        fetch(server, downloader, tmp_path)
    assert not list(tmp_path.glob("wall.png"))


def test_a_proxy_that_refuses_or_is_away_is_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    impatient = Downloader(retries=0, backoff=0.0)
    # This server knows no proxy's method CONNECT and refuses it.
    for proxy in ("http://127.0.0.1:9", server.url):
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(UserError, match="the proxy refused"):
            impatient.file("https://catalogue.example/wall.png", tmp_path / "wall.png")
        with pytest.raises(UserError, match="the proxy refused"):
            impatient.json("https://catalogue.example/assets")
    assert not list(tmp_path.iterdir())


class Disk:
    """A disk with room for so many bytes, below every file that is opened for writing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        opened = Path.open

        def limited(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
            file = opened(path, mode, *rest, **named)
            if mode[0] not in "wa":
                return file
            found = mock.MagicMock(wraps=file)
            found.__enter__.return_value = found
            found.__exit__.side_effect = lambda *_: file.close()
            found.write.side_effect = lambda content: self.write(file, content)
            return found

        monkeypatch.setattr(Path, "open", limited)

    def write(self, file: Any, content: Any) -> int:
        if len(content) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(content)
        return int(file.write(content))


def test_a_full_disk_is_told_and_the_download_goes_on_where_there_is_room(
    server: Server, downloader: Downloader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch, 2 * BLOCK)
    with pytest.raises(UserError, match=r"wall\.png: the disk is full; make room and run again"):
        fetch(server, downloader, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["wall.png.part"]
    disk.room = len(BODY) - 2 * BLOCK  # for the rest of the file, but not for the note beside it
    with pytest.raises(UserError, match="the disk is full"):
        fetch(server, downloader, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["wall.png.part"]
    disk.room = 10_000
    assert fetch(server, downloader, tmp_path).read_bytes() == BODY
    assert [headers.get("range") for headers in server.asked("/wall.png")] == [
        None, f"bytes={2 * BLOCK}-", f"bytes={len(BODY)}-",
    ]  # fmt: skip


def test_an_answer_that_is_no_json_is_a_user_error(server: Server, downloader: Downloader) -> None:
    url = server.put("/assets", b"<html>maintenance</html>")
    with pytest.raises(UserError, match="did not answer with JSON"):
        downloader.json(url)
