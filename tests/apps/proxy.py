"""A reverse proxy that serves an application below a prefix and strips it, as an ingress does."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@contextmanager
def behind(prefix: str, port: int) -> Iterator[str]:
    """The address of a proxy for what listens on the local `port`; others than `prefix` are 404."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"  # an answer ends when the connection does, also a stream

        def handle_any(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            there = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            # A browser that left asks for nothing any more, a server that was ended says no more:
            # a stream that it cut ends here too.
            with closing(there), suppress(ConnectionError, http.client.IncompleteRead):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
                headers |= {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"}
                there.request(self.command, self.path.removeprefix(prefix), body, headers)
                answer = there.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in NOT_PASSED_ON:
                        self.send_header(name, value)
                self.end_headers()
                while piece := answer.read1(65536):
                    self.wfile.write(piece)
                    self.wfile.flush()

        do_GET = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: tests print what matters."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{prefix}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
