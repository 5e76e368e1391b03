"""Killed in the middle: every acknowledged vote is there, once, and none that nobody cast."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.study.database import Database
from apps.study.place import Place
from apps.study.schema import Trial, Vote
from tests.apps.conftest import address
from tests.apps.serving import ROOT, Server
from tests.apps.studies import make_study
from tests.postgres import Postgres, wait_until_ready

pytestmark = pytest.mark.long

PEOPLE = int(os.environ.get("REALMAT_TEST_PEOPLE", "24"))
"""`make bench` has 300, by `bench_crash.py`."""
CRASHES = (("sqlite", "server"), ("postgresql", "server"), ("postgresql", "postgresql"))


@pytest.fixture(params=CRASHES, ids=lambda crash: f"{crash[0]}-{crash[1]}-killed")
def crash(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Which database, and who is killed in the middle."""
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def database_url(crash: tuple[str, str], request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    return address(crash[0], request, tmp_path)


@pytest.fixture
def restart(crash: tuple[str, str], request: pytest.FixtureRequest) -> Callable[[Server], None]:
    """What happens in the middle: PostgreSQL crashes and comes back, or our server does."""
    if crash[1] == "server":
        return killed
    postgres: Postgres = request.getfixturevalue("postgres")

    def stopped(_: Server) -> None:
        postgres.stop()
        time.sleep(0.5)
        postgres.start()
        wait_until_ready(postgres)

    return stopped


def killed(server: Server) -> None:
    server.kill()
    server.start()


def test_acknowledged_votes_survive(
    restart: Callable[[Server], None], database_url: str, tmp_path: Path
) -> None:
    disturbed(restart, database_url, tmp_path, PEOPLE)


def disturbed(
    restart: Callable[[Server], None], database_url: str, tmp_path: Path, people: int
) -> None:
    """Let `people` vote, restart in the middle, compare what was acknowledged with what is kept."""
    place = Place(tmp_path / "data", database_url)
    database = place.database()
    make_study(database, place.media, 40, per_survey=10)
    database.close()
    server = Server(place.folder, database_url, rate=100_000)
    acknowledged = tmp_path / "acknowledged.jsonl"
    command = [sys.executable, "-m", "tests.apps.voters", server.url("/api/study/one/")]
    voters = subprocess.Popen([*command, str(people), str(acknowledged)], cwd=ROOT)
    wait_for_lines(acknowledged, people)
    restart(server)
    assert voters.poll() is None, "they were done too early to be disturbed"
    assert voters.wait(timeout=300) == 0
    server.kill()
    compare(acknowledged, database_url, people)


def wait_for_lines(file: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not file.exists() or file.read_text().count("\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def compare(acknowledged: Path, url: str, people: int) -> None:
    *lines, figures = map(json.loads, acknowledged.read_text().splitlines())
    sent = [line["trial"] for line in lines]
    database = Database.open(url)
    with database.session() as session:
        counted = Counter(vote.trial_id for vote in session.query(Vote))
        trials = session.query(Trial).count()
    database.close()
    assert len(sent) == figures["votes"] == len(set(sent))
    assert set(counted.values()) == {1}
    assert set(counted) == set(sent)
    # A join whose answer got lost opens a session that nobody goes on with.
    assert trials >= len(sent) == people * (1 + 10 + 1 + 1)
