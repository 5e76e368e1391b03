"""A real PostgreSQL server for tests: a cluster of its own in a temporary folder."""

from __future__ import annotations

import socket

from pipelines.stack import postgresql
from pipelines.stack.postgresql import installed

__all__ = ["Postgres", "installed", "wait_until_ready"]


class Postgres(postgresql.Postgres):
    """A running server on a free port, which trusts this machine."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        super().__init__(port)
        self.start()


def wait_until_ready(postgres: Postgres, seconds: float = 20) -> None:
    """Return once the server takes connections."""
    postgres.wait_until_ready(seconds)
