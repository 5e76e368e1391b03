"""The study's database on both servers it is made for."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.study.database import Database
from tests.postgres import Postgres, installed

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL server for all tests; without its programs they are skipped, but not in CI."""
    if not installed():
        reason = "PostgreSQL is not installed: apt-get install postgresql"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create(f"study{next(_numbers)}")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()
