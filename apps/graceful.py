"""A server that ends well: no new requests, but those that run are answered first."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.routing import Mount


class GracefulServer(uvicorn.Server):
    """Calls `ending` as soon as it is to end, before it waits for the running requests."""

    def __init__(self, config: uvicorn.Config, ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends what would never end by itself, then waits for the rest."""
        self._ending()
        await super().shutdown(sockets)


def end_heartbeats(app: FastAPI) -> None:
    """End the streams that Gradio keeps open to every page that somebody looks at."""
    inner = gradio_of(app)
    if inner is not None:
        inner.stop_event.set()


def gradio_of(app: FastAPI) -> Any:
    """Gradio's own application inside of this one; None if there is no demo."""
    for route in app.routes:
        inner: Any = getattr(route, "app", None)
        if isinstance(route, Mount) and hasattr(inner, "stop_event"):
            return inner
    return None
