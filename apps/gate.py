"""What of Gradio's own addresses can be reached, and with what.

The demo's page and gradio_client need a few of them. The others upload files, run functions past
the queue or show what others did, and are not here. A body that no answer could hold, or that names
a function which does not exist, would break inside; it is refused before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "/gradio_api/"
OPEN = re.compile(
    r"queue/(join|data)|run/predict/?|call/\w+(/\w+)?|cancel|reset/?|heartbeat/[\w-]+|startup-events|app_id/?|info/?"
    r"|openapi\.json|theme\.css"
)
BESIDE = frozenset({"login", "logout", "monitoring", "gradio_api", "run", "vibe-edit", "runs"})
"""First parts of addresses outside of the prefix that are not open."""
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Gate:
    """Stands before Gradio. functions, names: those that its page and its clients may call.

    direct: of the functions, those that the page calls past the queue.
    """

    app: ASGIApp
    functions: Collection[int]
    names: Collection[str]
    direct: Collection[int]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
        if not self._open(path):
            await JSONResponse({"detail": "There is nothing here."}, 404)(scope, receive, send)
            return
        body, wrong = b"", _unreadable_query(scope)
        if scope["method"] == "POST" and not wrong:
            body = await _read(receive)
            wrong = self._wrong(body, path.startswith(f"{PREFIX}run/"))
        if wrong:
            await JSONResponse({"detail": wrong}, 422)(scope, receive, send)
            return
        await self.app(scope, _again(body, receive) if body else receive, send)

    def _open(self, path: str) -> bool:
        if not path.startswith(PREFIX):
            return path.strip("/").partition("/")[0] not in BESIDE
        rest = path.removeprefix(PREFIX)
        if not OPEN.fullmatch(rest):
            return False
        return not rest.startswith("call/") or rest.split("/")[1] in self.names

    def _wrong(self, body: bytes, direct: bool) -> str:
        """What is wrong with a body, "" if nothing is."""
        try:
            found: Any = json.loads(body)
            json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            return "body: a JSON object is expected, without NaN, infinities and broken characters"
        if not isinstance(found, dict):
            return "body: a JSON object is expected"
        session, function = found.get("session_hash"), found.get("fn_index")
        if session is not None and not (isinstance(session, str) and SESSION.fullmatch(session)):
            return "session_hash: letters and digits are expected"
        known = self.direct if direct else self.functions
        if (direct or function is not None) and not (type(function) is int and function in known):
            return "fn_index: there is no such function"
        return ""


def _unreadable_query(scope: Scope) -> str:
    asked = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    if all(SESSION.fullmatch(value) for value in asked.get("session_hash", [])):
        return ""
    return "session_hash: letters and digits are expected"


async def _read(receive: Receive) -> bytes:
    """The whole body, which `apps.limits` keeps small."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, then whatever else comes."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message
