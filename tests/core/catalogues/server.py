"""A small HTTP server that answers as told, faults included."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlparse


class Server:
    """Bodies by path, faults to show first, and the requests that came; tags are ETags by path,
    links the next pages of paths.

    A fault is a status, "429 WHEN" with a Retry-After, "truncated" or "damaged".
    """

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.ranges = True
        self.tags: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.url = ""

    def put(self, path: str, body: bytes | dict[str, Any] | list[Any]) -> str:
        """Serve a body at a path (which may include a query) and return its address."""
        self.bodies[path] = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.url + path

    def asked(self, path: str) -> list[dict[str, str]]:
        """The headers of every request for a path."""
        return [headers for seen, headers in self.requests if urlparse(seen).path == path]


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port of this machine."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            server.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            body = server.bodies.get(self.path) or server.bodies.get(urlparse(self.path).path)
            faults = server.faults[urlparse(self.path).path]
            fault = faults.pop(0) if faults else ""
            status, _, wait = fault.partition(" ")
            if status.isdigit() or body is None:
                self.send_response(int(status or 404))
                if status == "429":
                    self.send_header("Retry-After", wait or "0")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if fault == "damaged":
                body = bytes(len(body))
            tag = server.tags.get(urlparse(self.path).path, "")
            same = self.headers.get("If-Range", tag) == tag
            asked = self.headers.get("Range", "") if server.ranges and same else ""
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first or 0), min(int(last or len(body)) + 1, len(body))
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(end - start))
            self.send_header("Accept-Ranges", "bytes")
            if tag:
                self.send_header("ETag", tag)
            if self.path in server.links:
                self.send_header("Link", f'<{server.links[self.path]}>; rel="next"')
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
            self.end_headers()
            if self.command == "GET":
                sent = (end - start) // 2 if fault == "truncated" else end - start
                self.wfile.write(body[start : start + sent])

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
