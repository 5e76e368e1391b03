"""What the server counts, for Prometheus and its log. Paths are counted by their route, so that no
id, name or token appears."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)
QUIET = ("/healthz", "/readyz", "/metrics")
"""Asked every few seconds by machines: counted, not logged."""


@dataclass(frozen=True)
class Telemetry:
    """The counters of one server."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        new = object.__setattr__
        new(self, "votes", Counter("realmat_votes", "Votes acknowledged.", registry=self.registry))
        new(
            self,
            "requests",
            Counter(
                "realmat_requests", "Requests answered.", ["method", "route", "status"],
                registry=self.registry,
            ),
        )  # fmt: skip
        new(
            self,
            "generation",
            Histogram(
                "realmat_generation_seconds", "Seconds a batch of materials took.",
                buckets=(0.5, 1, 2, 5, 10, 20, 60, 120), registry=self.registry,
            ),
        )  # fmt: skip

    votes: Counter = field(init=False)
    requests: Counter = field(init=False)
    generation: Histogram = field(init=False)

    def watch_queue(self, waiting: Callable[[], int], running: Callable[[], int]) -> None:
        """Show how much waits and runs at the moment somebody asks."""
        queue = Gauge("realmat_queue", "Materials waiting to be made.", registry=self.registry)
        queue.set_function(waiting)
        made = Gauge("realmat_running", "Materials being made.", registry=self.registry)
        made.set_function(running)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


@dataclass(frozen=True)
class Watched:
    """Counts and logs the requests of an application."""

    app: ASGIApp
    telemetry: Telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            route = _route(scope)
            self.telemetry.requests.labels(scope["method"], route, str(status)).inc()
            if route not in QUIET:
                log.info(
                    "request",
                    extra={
                        "method": scope["method"], "route": route, "status": status,
                        "ms": round(1000 * (time.monotonic() - started), 1),
                    },
                )  # fmt: skip


def _route(scope: Scope) -> str:
    """The pattern of the route that answered; what no route knows is one kind."""
    route = scope.get("route")
    pattern = getattr(route, "path", None)
    return str(pattern) if pattern is not None else "other"
