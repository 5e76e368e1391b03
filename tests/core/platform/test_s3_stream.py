"""Streams from a store that breaks connections, is out of order, or has another object now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from components.core.errors import Unreachable, UserError
from components.core.platform.s3_parts import S3Parts
from components.core.platform.s3_stream import ATTEMPTS, S3Stream

CONTENT = np.random.default_rng(0).bytes(10_000)


class Body:
    def __init__(self, content: bytes, breaks: int | None) -> None:
        self.content, self.left = content, breaks

    def read(self, size: int) -> bytes:
        if self.left is not None and self.left < size:
            raise ReadTimeoutError(endpoint_url="http://store")
        if self.left is not None:
            self.left -= size
        found, self.content = self.content[:size], self.content[size:]
        return found

    def close(self) -> None: ...


class Store:
    """breaks: bytes after which each connection fails; `fault` meets every request."""

    def __init__(self, breaks: int | None = None) -> None:
        self.breaks, self.requests = breaks, list[dict[str, Any]]()
        self.fault: Any = None
        self.tag = "one"

    def get_object(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if self.fault is not None:
            raise self.fault
        if request.get("IfMatch", self.tag) != self.tag:
            raise error("PreconditionFailed")
        start, last = request.get("Range", "bytes=0-")[6:].split("-")
        if start != "0" and int(start) >= len(CONTENT):
            raise error("InvalidRange")
        content = CONTENT[int(start) : int(last) + 1 if last else None]
        return {"Body": Body(content, self.breaks), "ETag": self.tag}


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")


def opened(store: Store, start: int = 0, sleep: Callable[[float], None] = lambda s: None) -> Any:
    return S3Stream(store, "photos", "0.tar", start=start, sleep=sleep)


def read(stream: Any) -> bytes:
    return b"".join(iter(lambda: stream.read(700), b""))


@pytest.mark.parametrize("breaks", [None, 700, 2500])
@pytest.mark.parametrize("start", [0, 1234])
def test_what_is_read_is_whole_however_often_the_connection_breaks(
    breaks: int | None, start: int
) -> None:
    store = Store(breaks)
    assert read(opened(store, start)) == CONTENT[start:]
    assert (len(store.requests) > 3) == (breaks is not None)
    assert all(request["IfMatch"] == "one" for request in store.requests[1:])


@pytest.mark.parametrize("breaks", [None, 700])
@pytest.mark.parametrize(("start", "stop"), [(0, 10), (0, 5000), (1234, 4034), (9000, 10_000)])
def test_a_part_is_asked_for_exactly(breaks: int | None, start: int, stop: int) -> None:
    store = Store(breaks)
    stream = S3Stream(store, "photos", "0.tar", start=start, stop=stop, sleep=lambda s: None)
    assert read(stream) == CONTENT[start:stop]
    asked = [request["Range"] for request in store.requests]
    assert asked[0] == f"bytes={start}-{stop - 1}"
    assert all(one.endswith(f"-{stop - 1}") for one in asked)


def test_a_part_is_of_the_version_that_was_listed_and_whole() -> None:
    store, waits = Store(), list[float]()
    parts = S3Parts(store, "photos", "cache/", sleep=waits.append)
    assert parts.read("0.tar", 20, 30, "one") == CONTENT[20:30]
    assert store.requests[0]["Key"] == "cache/0.tar"
    assert parts.read("0.tar", 30, 30, "one") == b""
    with pytest.raises(UserError, match="changes it"):
        parts.read("0.tar", 20, 30, "two")
    with pytest.raises(UserError, match=r"s3://photos/cache/0.tar is truncated.*9990 to 10009"):
        parts.read("0.tar", 9990, 10_010, "one")
    assert not waits


def test_requests_at_once_that_used_up_their_attempts_together_wait() -> None:
    """boto3 then passes the store's answer on at once."""
    store, waits = Store(), list[float]()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            store.fault = None

    store.fault = error("SlowDown")
    store.fault.response["ResponseMetadata"] = {"RetryQuotaReached": True}
    assert S3Parts(store, "photos", "", sleep=sleep).read("0.tar", 0, 10) == CONTENT[:10]
    assert waits == [1.0, 2.0, 4.0]


def test_a_store_that_stays_away_is_unreachable_after_waiting_for_it() -> None:
    store, waits = Store(), list[float]()
    stream = opened(store, sleep=waits.append)
    stream.read(700)
    stream.close()
    store.fault = ConnectionClosedError(endpoint_url="http://store")
    with pytest.raises(Unreachable, match=r"for now.*nothing is lost"):
        stream.read(700)
    assert len(waits) == ATTEMPTS - 1
    assert waits[:3] == [1.0, 2.0, 4.0]
    assert max(waits) == 20.0


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken", "SlowDown", "InternalError"])
def test_what_the_store_will_not_give_now_is_not_damaged(code: str) -> None:
    store = Store()
    store.fault = error(code)
    with pytest.raises(Unreachable):
        opened(store)


def test_an_object_that_is_gone_or_another_one_is_the_users_to_mend() -> None:
    store = Store()
    stream = opened(store)
    stream.read(700)
    stream.close()
    store.tag = "two"
    with pytest.raises(UserError, match="changes it") as changed:
        stream.read(700)
    store.fault = error("NoSuchKey")
    with pytest.raises(UserError, match="check its name") as gone:
        opened(store)
    assert not any(isinstance(e.value, Unreachable) for e in (changed, gone))
