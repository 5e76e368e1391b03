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
from tests.apps.serving import ROOT, Server
from tests.apps.studies import make_study
from tests.postgres import Postgres, wait_until_ready

PEOPLE = int(os.environ.get("REALMAT_TEST_PEOPLE", "24"))
EVERY = os.environ.get("REALMAT_TEST_KILL", "") == "server"
"""Kill our server on PostgreSQL as well, not PostgreSQL itself."""


@pytest.fixture
def restart(database_url: str, request: pytest.FixtureRequest) -> Callable[[Server], None]:
    """What happens in the middle: PostgreSQL crashes and comes back, or our server does."""
    if database_url.startswith("sqlite") or EVERY:
        return killed
    postgres: Postgres = request.getfixturevalue("postgres")

    def crash(_: Server) -> None:
        postgres.stop()
        time.sleep(0.5)
        postgres.start()
        wait_until_ready(postgres)

    return crash


def killed(server: Server) -> None:
    server.kill()
    server.start()


def test_acknowledged_votes_survive(
    restart: Callable[[Server], None], database_url: str, tmp_path: Path
) -> None:
    place = Place(tmp_path / "data", database_url)
    database = place.database()
    make_study(database, place.media, 40, per_survey=10)
    database.close()
    server = Server(place.folder, database_url, rate=100_000)
    acknowledged = tmp_path / "acknowledged.jsonl"
    command = [sys.executable, "-m", "tests.apps.voters", server.url("/api/study/one/")]
    voters = subprocess.Popen([*command, str(PEOPLE), str(acknowledged)], cwd=ROOT)
    wait_for_lines(acknowledged, PEOPLE)
    restart(server)
    assert voters.poll() is None, "they were done too early to be disturbed"
    assert voters.wait(timeout=300) == 0
    server.kill()
    compare(acknowledged, database_url)


def wait_for_lines(file: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not file.exists() or file.read_text().count("\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def compare(acknowledged: Path, url: str) -> None:
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
    assert trials >= len(sent) == PEOPLE * (1 + 10 + 1 + 1)
