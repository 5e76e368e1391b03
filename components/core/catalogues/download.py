"""Polite, resumable downloads: retries with Retry-After, checksums, files whole or not at all.

A file arrives as NAME.part, which an interrupted download continues by a Range request as long as
the server's file is the same (If-Range), and gets its name once its size and checksum are right.
Beside it stands .NAME.json, by which a later run knows it without reading it again.

What fails before an answer begins, the session tries again; an answer that breaks off is asked for
again here. A server that then still gives none is `Unreachable`, which says nothing about the file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from components.core.errors import Unreachable, UserError
from components.core.materials.files import write_whole

USER_AGENT = "realmat/0.1 (text-to-material research pipeline)"
"""Catalogues ask for a name of its own from every program."""

PATIENCE = 15 * 60
"""Seconds that a Retry-After can make us wait; whoever asks for more is asked again after them."""

RETRIED = (429, 500, 502, 503, 504)
BLOCK = 1 << 16
"""Bytes written at a time; what came of the last block before a fault is asked for again."""

CONTINUE = "run again to continue"

log = logging.getLogger(__name__)


class DiskError(UserError):
    """Nothing can be written here, whatever a server answers."""


class Downloader:
    """Fetches JSON and files. `retries` counts the new tries after a failure.

    backoff: seconds before the second try, doubled each time; a Retry-After header overrides it.
    """

    def __init__(
        self, *, retries: int = 5, backoff: float = 1.0, timeout: tuple[float, float] = (10, 60)
    ) -> None:
        self.retries = retries
        self.timeout = timeout
        policy = Retry(
            total=retries,
            backoff_factor=backoff,
            status_forcelist=RETRIED,
            allowed_methods=("GET",),
            respect_retry_after_header=True,
            retry_after_max=PATIENCE,
            raise_on_status=False,
        )
        self.session = requests.Session()
        self.session.headers["User-Agent"] = USER_AGENT
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=policy))

    def json(self, url: str, **parameters: str | int) -> Any:
        """The decoded answer; UserError says why there is none."""
        return self._json(url, parameters)[0]

    def pages(self, url: str) -> Iterator[Any]:
        """The decoded answers of a listing that names its next page in the header Link."""
        following: str | None = url
        while following:
            content, following = self._json(following, {})
            yield content

    def _json(self, url: str, parameters: dict[str, str | int]) -> tuple[Any, str | None]:
        """The decoded answer and the address of the next page."""
        try:
            answer = self.session.get(url, params=parameters, timeout=self.timeout)
            answer.raise_for_status()
            return answer.json(), answer.links.get("next", {}).get("url")
        except requests.JSONDecodeError as error:
            raise Unreachable(f"{url} did not answer with JSON; try again later") from error
        except requests.RequestException as error:
            raise _refusal(f"{url} cannot be fetched", error, "try again later") from error

    def size(self, url: str) -> int:
        """The bytes of a file on a server that hands out parts of it."""
        _, total = self._part(url, 0, 1)
        return total

    def part(self, url: str, start: int, stop: int) -> bytes:
        """Bytes start to stop of a file, tried again when they break off."""
        return self._part(url, start, stop)[0]

    def _part(self, url: str, start: int, stop: int) -> tuple[bytes, int]:
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        for attempt in range(self.retries + 1):
            try:
                with self._begin(url, headers, "cannot be read") as answer:
                    content = answer.content
                break
            except requests.RequestException as error:
                if attempt == self.retries:
                    raise _refusal(f"{url} cannot be read", error, CONTINUE) from error
                log.info("%s broke off (%s); asking again", url, _reason(error))
        total = answer.headers.get("Content-Range", "").rpartition("/")[2]
        if answer.status_code != requests.codes.partial_content or not total.isdecimal():
            raise UserError(f"{url} is not handed out in parts; try again later")
        return content, int(total)

    def _begin(self, url: str, headers: dict[str, str], fault: str) -> requests.Response:
        """An answer whose body is still to come, as it lies there; no error of `requests`."""
        try:
            # Places in a packed body would be other places.
            headers = {**headers, "Accept-Encoding": "identity"}
            answer = self.session.get(url, headers=headers, stream=True, timeout=self.timeout)
            if answer.status_code != requests.codes.requested_range_not_satisfiable:
                answer.raise_for_status()
            return answer
        except requests.RequestException as error:
            raise _refusal(f"{url} {fault}", error, CONTINUE) from error

    def file(self, url: str, target: Path, *, size: int | None = None, md5: str = "") -> Path:
        """Download to `target` unless it is there already; UserError when it cannot be had whole.

        size, md5: what the catalogue states; a file that differs is fetched once more.
        """
        note = target.with_name(f".{target.name}.json")
        if target.exists() and note.exists() and _matches(json.loads(note.read_text()), size, md5):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.part")
        for attempt in range(self.retries + 1):
            try:
                self._receive(url, partial)
            except requests.RequestException as error:
                if attempt == self.retries:
                    raise _refusal(f"{url} cannot be fetched", error, CONTINUE) from error
                log.info("%s broke off (%s); continuing", url, _reason(error))
                continue
            except OSError as error:
                raise disk_error(target, error) from error
            found = {"url": url, "size": partial.stat().st_size, "md5": _md5(partial)}
            if _matches(found, size, md5):
                return _finished(partial, target, note, found)
            partial.unlink()
            log.info("%s arrived damaged; fetching it again", url)
        raise UserError(f"{url} keeps arriving damaged (size or checksum differ); try again later")

    def _receive(self, url: str, partial: Path) -> None:
        """Append what is missing of `partial`."""
        there = partial.stat().st_size if partial.exists() else 0
        mark = _mark_of(partial)
        headers = {"Range": f"bytes={there}-"} if there else {}
        if there and mark.exists():
            headers["If-Range"] = mark.read_text()
        with self._begin(url, headers, "cannot be fetched") as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                return  # nothing is missing, or the remains are of another file: the check tells
            resumed = answer.status_code == requests.codes.partial_content
            if not resumed:
                partial.unlink(missing_ok=True)
                _keep_mark(mark, answer)
            with partial.open("ab") as file:
                for block in answer.iter_content(BLOCK):
                    file.write(block)


def _finished(partial: Path, target: Path, note: Path, found: dict[str, Any]) -> Path:
    """The file under its name, with the note by which the next run knows it."""
    try:
        write_whole(note, json.dumps(found).encode())
        _mark_of(partial).unlink(missing_ok=True)
        return partial.rename(target)
    except OSError as error:
        raise disk_error(target, error) from error


def _mark_of(partial: Path) -> Path:
    """Beside a part of a file: which state of the server's file it is a part of."""
    return partial.with_name(f".{partial.name}.json")


def _keep_mark(mark: Path, answer: requests.Response) -> None:
    """Note the ETag, if it stands for equal bytes, else the date; servers need not give either."""
    tag = answer.headers.get("ETag", "")
    known = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
    if known:
        write_whole(mark, known.encode())
    else:
        mark.unlink(missing_ok=True)


def _matches(found: dict[str, Any], size: int | None, md5: str) -> bool:
    return (size is None or found["size"] == size) and (not md5 or found["md5"] == md5.lower())


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _refusal(fault: str, error: requests.RequestException, advice: str) -> UserError:
    """What to tell; `Unreachable` unless the server answered, and not that it is busy."""
    final = error.response is not None and error.response.status_code not in RETRIED
    return (UserError if final else Unreachable)(f"{fault} ({_reason(error)}); {advice}")


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"status {error.response.status_code}"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refused"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    return "no connection"


def disk_error(target: Path, error: OSError) -> DiskError:
    """What to tell when a file cannot be written."""
    if error.errno == errno.ENOSPC:
        return DiskError(f"{target}: the disk is full; make room and run again to continue")
    return DiskError(f"{target} cannot be written ({error.strerror})")
