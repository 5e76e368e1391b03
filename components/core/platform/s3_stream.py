"""An S3 object, or a part of one, read from front to back, however often the connection breaks.

A read that fails is taken up where it broke, of the same version of the object. What does not come
back is `Unreachable`: it says nothing about the object, which must not be taken for a damaged one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from components.core.errors import Unreachable, UserError

ATTEMPTS = 10
"""Waits of 1, 2, 4, … 20 s at most, so that a store which is busy or restarts is waited for."""
GONE = ("404", "NoSuchKey", "NoSuchVersion", "InvalidObjectState", "412", "PreconditionFailed")
"""Answers about this object; all others are about the store or the right to use it."""


class S3Stream:
    """client: of boto3. start: the first byte that is read; stop: the one after the last, None for
    the object's end; version: the ETag that is read, "" for what lies there now; sleep: tests let
    no time pass."""

    def __init__(
        self,
        client: Any,
        bucket: str,
        key: str,
        *,
        start: int = 0,
        stop: int | None = None,
        version: str = "",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        self._sleep, self._place, self._stop, self._version = sleep, start, stop, version
        self._body: Any = None
        self._patiently(self._open)

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all that are left for -1; b"" at the end."""
        if size < 0:
            parts = list(iter(lambda: self.read(1 << 20), b""))
            return b"".join(parts)
        content: bytes = self._patiently(lambda: self._read(size))
        self._place += len(content)
        return content

    def close(self) -> None:
        """Let the connection go."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def __enter__(self) -> S3Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        if self._body is None:
            self._open()
        return bytes(self._body.read(size)) if self._body is not None else b""

    def _open(self) -> None:
        more = {"IfMatch": self._version} if self._version else {}
        if self._stop is not None and self._place >= self._stop:
            return  # all had been read
        if self._place or self._stop is not None:
            last = "" if self._stop is None else self._stop - 1
            more["Range"] = f"bytes={self._place}-{last}"
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key, **more)
        except Exception as error:
            if _code(error) in ("416", "InvalidRange"):
                return  # all had been read when the connection broke
            raise
        self._version, self._body = answer["ETag"], answer["Body"]

    def _patiently(self, action: Callable[[], Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        uri = f"s3://{self._bucket}/{self._key}"
        for attempt in range(ATTEMPTS):
            try:
                return action()
            except (BotoCoreError, ClientError, OSError) as error:
                self.close()
                if _code(error) in GONE:
                    raise UserError(
                        f"{uri} cannot be read ({error}): check its name, and that nobody changes "
                        "it meanwhile."
                    ) from error
                # boto3 itself has asked again where no answer, or a bad one, came to a request,
                # unless requests that are made at once had used up its attempts together.
                answered = isinstance(error, ClientError) and not _without_retry(error)
                if answered or attempt == ATTEMPTS - 1:
                    raise Unreachable(
                        f"{uri} cannot be read for now ({error}): check that the store runs, the "
                        "AWS_* variables and the right to read it, and start again; nothing is "
                        "lost."
                    ) from error
                self._sleep(min(20.0, 2.0**attempt))
        raise AssertionError("the last attempt returns or raises")


def _code(error: Exception) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _without_retry(error: Exception) -> bool:
    response = getattr(error, "response", {})
    return bool(response.get("ResponseMetadata", {}).get("RetryQuotaReached"))
