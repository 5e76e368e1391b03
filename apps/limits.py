"""What one address may ask of the server, and how much it may send at once.

Plain ASGI, outside of everything else: what is refused here costs neither a thread nor the
database. Addresses are kept as keyed hashes, in memory, for as long as a minute.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 1_000_000
MAX_ADDRESSES = 50_000
RATE, BURST = 200.0, 2000.0
"""A class of students behind one address may take part at once; a flood may not."""


class TooLarge(Exception):
    """The body grew beyond what is read."""


@dataclass
class Limits:
    """Refuses bodies over `max_body` bytes (413) and more than `rate` requests a second (429).

    An address may make `burst` requests at once, then `rate` a second.
    """

    app: ASGIApp
    max_body: int = MAX_BODY
    rate: float = RATE
    burst: float = BURST
    clock: Callable[[], float] = time.monotonic
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    _left: OrderedDict[bytes, tuple[float, float]] = field(default_factory=OrderedDict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if not self._may(scope):
            await _answer(send, 429, "Too many requests from your address: wait a moment.")
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.max_body:
            await _answer(send, 413, f"A request may hold {self.max_body} bytes at most.")
            return
        await self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The body is counted as it comes: its announced length may be missing or wrong."""
        seen = 0
        started = False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_body:
                raise TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            if seen <= self.max_body or started:
                started = True
                await send(message)

        # What reads the body may answer the exception in its own way, which `noted` drops.
        with suppress(TooLarge):
            await self.app(scope, counted, noted)
        if seen > self.max_body and not started:
            await _answer(send, 413, f"A request may hold {self.max_body} bytes at most.")

    def _may(self, scope: Scope) -> bool:
        address = (scope.get("client") or ("",))[0].encode()
        who = hashlib.blake2b(address, key=self._key, digest_size=16).digest()
        now = self.clock()
        left, before = self._left.pop(who, (self.burst, now))
        left = min(self.burst, left + (now - before) * self.rate)
        allowed = left >= 1
        self._left[who] = (left - allowed, now)
        while len(self._left) > MAX_ADDRESSES:
            self._left.popitem(last=False)
        return allowed


async def _answer(send: Send, status: int, sentence: str) -> None:
    body = ('{"detail": "' + sentence + '"}').encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 429:
        headers.append((b"retry-after", b"10"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
