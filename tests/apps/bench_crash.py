"""300 participants, and what they vote on is killed in the middle (`make bench`)."""

from collections.abc import Callable
from pathlib import Path

from tests.apps.serving import Server
from tests.apps.test_study_crash import crash, database_url, disturbed, restart

__all__ = ["crash", "database_url", "restart"]
PEOPLE = 300


def test_acknowledged_votes_of_300_survive(
    restart: Callable[[Server], None], database_url: str, tmp_path: Path
) -> None:
    disturbed(restart, database_url, tmp_path, PEOPLE)
