"""A catalogue's server on this machine, and a client without waiting."""

from collections.abc import Iterator

import pytest

from components.core.catalogues.download import Downloader
from tests.core.catalogues.server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def downloader() -> Downloader:
    return Downloader(retries=2, backoff=0.0, timeout=(5, 5))
