"""Streams from a store that breaks connections, is out of order, or has another object now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from components.core.errors import Unreachable, UserError
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
        self.breaks, self.fault, self.requests = breaks, None, list[dict[str, Any]]()
        self.tag = "one"

    def get_object(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if self.fault is not None:
            raise self.fault
        if request.get("IfMatch", self.tag) != self.tag:
            raise error("PreconditionFailed")
        start = int(request.get("Range", "bytes=0-")[6:-1])
        if start and start >= len(CONTENT):
            raise error("InvalidRange")
        return {"Body": Body(CONTENT[start:], self.breaks), "ETag": self.tag}


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
