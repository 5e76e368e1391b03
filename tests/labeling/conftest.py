"""A real Label Studio server for the tests of this folder."""

import socket
from collections.abc import Iterator

import pytest

from labeling.server import PROGRAM, Server
from tests.services import browser, missing

__all__ = ["browser"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests, each of which has projects of its own."""
    if not PROGRAM.exists():
        missing("Label Studio is not installed: .ci/install --labeling")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = Server(tmp_path_factory.mktemp("labeling"), port)
    yield running
    running.stop()
