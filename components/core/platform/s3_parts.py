"""Parts of the S3 objects below an address, each a request of exactly its bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from components.core.errors import UserError
from components.core.platform.s3_stream import S3Stream


class S3Parts:
    """Reads from several threads at once, as patiently as `S3Stream`.

    client: of boto3; prefix: what stands before the objects' names, "" or ending in a slash.
    """

    def __init__(
        self, client: Any, bucket: str, prefix: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client, self._bucket, self._prefix, self._sleep = client, bucket, prefix, sleep

    def read(self, name: str, start: int, stop: int, version: str = "") -> bytes:
        """Bytes `start` to `stop` of an object; UserError if it is gone or another one, or ends
        before, and `Unreachable` if the store stays away.

        version: the ETag that the object has to have; "" for any.
        """
        if stop <= start:
            return b""
        key = f"{self._prefix}{name}"
        with S3Stream(
            self._client, self._bucket, key, start=start, stop=stop, version=version,
            sleep=self._sleep,
        ) as stream:  # fmt: skip
            content = stream.read()
        if len(content) != stop - start:
            raise UserError(
                f"s3://{self._bucket}/{key} is truncated: it has no bytes {start} to {stop - 1}; "
                "make it anew."
            )
        return content
