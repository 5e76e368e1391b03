"""What the tests of the apps share: databases, a browser, a generator."""

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.study.database import Database
from tests.evaluation.micro import write_run
from tests.postgres import Postgres, installed
from tests.services import browser, missing

__all__ = ["browser"]

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL server for all tests; without its programs they are skipped, but not in CI."""
    if not installed():
        missing("PostgreSQL is not installed: apt-get install postgresql")
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    return address(request.param, request, tmp_path)


def address(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of a kind: "sqlite" or "postgresql"."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create(f"study{next(_numbers)}")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def generator_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained generator of 16 px maps, with an adapter and a scorer."""
    folders = write_run(tmp_path_factory.mktemp("run") / "run")
    folder = tmp_path_factory.mktemp("model") / "generator"
    shutil.copytree(folders["model"], folder / "base")
    shutil.copytree(folders["lora"], folder / "lora")
    shutil.copytree(folders["reward"] / "reward", folder / "reward")
    clip = json.loads((folders["reward"] / "clip.json").read_text())["uri"]
    settings = {"name": "micro", "steps": 4, "guidance": 1.5, "clip": clip}
    (folder / "generator.json").write_text(json.dumps(settings))
    return folder
