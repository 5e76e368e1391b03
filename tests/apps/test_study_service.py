"""The study's rules, on both databases: blind, once each, nothing lost, nothing invented."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from apps.study.database import Database
from apps.study.design import INTACT
from apps.study.export import flag, preferences, votes_of
from apps.study.passage import Passages, Shown
from apps.study.schema import Participant, Trial, Vote
from apps.study.service import Refused, Service
from apps.study.votes import SIMILAR
from components.core.errors import UserError
from tests.apps.studies import make_study


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(database: Database, tmp_path: Path, clock: Clock) -> Service:
    make_study(database, tmp_path / "media", minimum_seconds=1.0)
    return Service(database, "key", clock)


def finish(service: Service, clock: Clock, state: dict[str, Any], token: str, side: str) -> int:
    """Vote until the sub-survey is done; returns how many votes that took."""
    count = 0
    while not state["done"]:
        clock.time += timedelta(seconds=2)
        state = service.vote("one", token, state["trial"], side, 2.0)
        count += 1
    return count


def refused(status: int) -> Any:
    class Caught:
        def __enter__(self) -> None:
            self.context = pytest.raises(Refused)
            self.found = self.context.__enter__()

        def __exit__(self, *details: Any) -> bool:
            caught = self.context.__exit__(*details)
            assert self.found.value.status == status
            return bool(caught)

    return Caught()


def test_a_participant_takes_every_sub_survey_once(service: Service, clock: Clock) -> None:
    state = service.join("one")
    token = state["token"]
    assert state["practice"]
    assert state["total"] == 1 + 4 + 1 + 1  # practice, plain, catch, repeat
    assert finish(service, clock, state, token, "left") == 7
    assert service.state("one", token) == {"done": True, "more": True}
    finish(service, clock, service.join("one", token), token, "left")
    assert service.state("one", token) == {"done": True, "more": False}
    again = service.join("one", token)
    assert again["done"]
    votes = votes_of(service.database, "one")
    assert Counter(votes["kind"]) == {"plain": 8, "catch": 2, "repeat": 2}
    plain = votes[votes["kind"] == "plain"]
    assert sorted(plain["trial"]) == [f"pair-{i}" for i in range(8)]


def test_which_side_a_method_is_on_is_drawn_for_every_trial(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    make_study(database, tmp_path / "media", 60, per_survey=60)
    service = Service(database, "key", clock)
    orders = []
    for _ in range(2):
        state = service.join("one")
        with database.session() as session:
            trials = session.query(Trial).order_by(Trial.position).all()
            own = [t for t in trials if t.session_id == trials[-1].session_id]
            orders.append([(t.item.number, tuple(t.sides)) for t in own])
        finish(service, clock, state, state["token"], "left")
    votes = votes_of(database, "one")
    plain = votes[votes["kind"] == "plain"]
    # 120 draws of which half are expected: 5 standard deviations are 27.
    assert 33 < (plain["choice"] == "after").sum() < 87
    assert orders[0] != orders[1]


def test_a_repeat_comes_later_with_its_sides_swapped(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    three = ("a", "b", "c")
    make_study(database, tmp_path / "media", 12, three, per_survey=12, repeat_share=0.25)
    for _ in range(10):
        Service(database, "key", clock).join("one")
    with database.session() as session:
        trials = session.query(Trial).all()
        by_item = {(t.session_id, t.item.number): t for t in trials}
        repeats = [t for t in trials if t.item.kind == "repeat"]
        assert len(repeats) == 30
        for trial in repeats:
            first = by_item[trial.session_id, trial.item.repeats or 0]
            assert trial.position > first.position
            assert all(now != then for now, then in zip(trial.sides, first.sides, strict=True))


def test_what_is_sent_tells_nothing_of_the_methods(service: Service) -> None:
    state = service.join("one")
    assert set(state) == {
        "token", "done", "trial", "position", "total", "practice", "question", "prompt", "media",
        "places", "minimum_seconds",
    }  # fmt: skip
    text = str({**state, "prompt": "", "question": ""})
    for word in ("after", "before", INTACT, "broken", "catch"):
        assert word not in text


def test_the_same_vote_again_is_acknowledged_and_counted_once(
    service: Service, clock: Clock
) -> None:
    state = service.join("one")
    token, trial = state["token"], state["trial"]
    clock.time += timedelta(seconds=2)
    first = service.vote("one", token, trial, "left", 1.5)
    again = service.vote("one", token, trial, "right", 1.5)
    assert again == first
    with service.database.session() as session:
        (vote,) = session.query(Vote).all()
        assert (vote.side, vote.seconds) == ("left", 1.5)


def test_coming_back_goes_on_at_the_same_comparison(service: Service, clock: Clock) -> None:
    state = service.join("one")
    token = state["token"]
    clock.time += timedelta(seconds=2)
    state = service.vote("one", token, state["trial"], SIMILAR, 1.0)
    assert service.join("one", token)["trial"] == state["trial"]
    assert service.state("one", token) == state


def test_a_look_must_last(service: Service, clock: Clock) -> None:
    state = service.join("one")
    clock.time += timedelta(seconds=0.5)
    with refused(425):
        service.vote("one", state["token"], state["trial"], "left", 60.0)
    clock.time += timedelta(seconds=0.6)
    service.vote("one", state["token"], state["trial"], "left", 60.0)
    with service.database.session() as session:
        assert session.query(Vote).one().seconds == pytest.approx(1.1)  # not what was claimed


def test_forged_tokens_and_trials_of_others_change_nothing(service: Service, clock: Clock) -> None:
    mine, other = service.join("one"), service.join("one")
    clock.time += timedelta(seconds=2)
    with refused(404):
        service.vote("one", mine["token"], other["trial"], "left", 2.0)
    with refused(404):
        service.vote("one", mine["token"], "' OR 1=1 --", "left", 2.0)
    with refused(422):
        service.vote("one", mine["token"], mine["trial"], "middle", 2.0)
    for forged in ("", "x", mine["token"][:-2], mine["token"] + "x", "né.ü"):
        with refused(401):
            service.vote("one", forged, mine["trial"], "left", 2.0)
    stranger = Service(service.database, "another key", clock)
    with refused(401):
        stranger.state("one", mine["token"])
    with refused(404):
        service.join("two")
    with service.database.session() as session:
        assert session.query(Vote).count() == 0
        assert session.query(Participant).count() == 2


def test_trials_are_answered_in_their_order(service: Service, clock: Clock) -> None:
    state = service.join("one")
    with service.database.session() as session:
        later = session.query(Trial).filter(Trial.position == 3).one().id
    clock.time += timedelta(seconds=9)
    with refused(409):
        service.vote("one", state["token"], later, "left", 2.0)


def test_the_database_knows_no_token(service: Service) -> None:
    token = service.join("one")["token"]
    with service.database.session() as session:
        kept = session.query(Participant).one().hash
    assert token not in kept
    assert len(kept) == 64


def test_participants_are_spread_over_the_sub_surveys(service: Service) -> None:
    for _ in range(6):
        service.join("one")
    with service.database.session() as session:
        sessions = {t.session_id: t.item.survey_id for t in session.query(Trial).all()}
    assert sorted(Counter(sessions.values()).values()) == [3, 3]


def test_many_at_once_are_counted_once_each(database: Database, tmp_path: Path) -> None:
    make_study(database, tmp_path / "media")
    service = Service(database, "key")
    failures: list[Exception] = []

    def take_part() -> None:
        try:
            state = service.join("one")
            token = state["token"]
            while not state["done"]:
                trial = state["trial"]
                threads = [
                    threading.Thread(target=service.vote, args=("one", token, trial, "left", 1.0))
                    for _ in range(2)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                state = service.state("one", token)
        except Exception as error:
            failures.append(error)

    people = [threading.Thread(target=take_part) for _ in range(8)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert failures == []
    with database.session() as session:
        assert session.query(Vote).count() == session.query(Trial).count() == 8 * 7


def test_servers_side_by_side_and_a_forgetful_one_agree(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    make_study(database, tmp_path / "media", minimum_seconds=1.0)
    servers = [Service(database, "key", clock) for _ in range(3)]
    servers[2]._passages = Passages(size=0)
    state = servers[0].join("one")
    token, cast = state["token"], []
    while True:
        while not state["done"]:
            server = servers[len(cast) % 3]
            with refused(425):
                server.vote("one", token, state["trial"], "left", 2.0)
            clock.time += timedelta(seconds=2)
            if cast:  # what was voted on is acknowledged by every server and stays as it is
                assert all(s.vote("one", token, cast[-1], "right", 2.0) == state for s in servers)
            cast.append(state["trial"])
            state = server.vote("one", token, state["trial"], "left", 2.0)
            assert all(s.state("one", token) == state for s in servers)
        if not state["more"]:
            break
        state = servers[len(cast) % 3].join("one", token)
        state.pop("token")
    with database.session() as session:
        votes = session.query(Vote).order_by(Vote.id).all()
        assert [vote.trial_id for vote in votes] == cast
        assert {vote.side for vote in votes} == {"left"}
        assert all(vote.trial.shown is not None for vote in votes)
    assert len(cast) == 14


def test_what_is_remembered_of_participants_is_bounded() -> None:
    passages = Passages(size=2)
    trials = [Shown(name, 1, i, ["a", "b"], None, False, "", {}, False) for i, name in
              enumerate("xyz")]  # fmt: skip
    for digest in ("one", "two", "one", "three"):
        passages.remember(1, digest, trials)
    assert passages.step(1, "two", "x") is None
    step = passages.step(1, "one", "y")
    assert step is not None
    assert (step.before, step.trial, step.after, step.total) == (*trials, 3)
    assert passages.step(1, "one", "z") is None
    assert passages.step(2, "one", "y") is None


def test_flags_and_preferences(service: Service, clock: Clock) -> None:
    for side in ("left", "right"):
        state = service.join("one")
        finish(service, clock, state, state["token"], side)
    votes = votes_of(service.database, "one")
    everyone = sorted(set(votes["participant"]))
    pairs = preferences(votes, ["after", "before"])
    assert len(pairs) == (votes["kind"] == "plain").sum()
    assert (pairs["preferred"] != pairs["other"]).all()
    flag(service.database, "one", everyone[0], "too fast")
    flagged = votes_of(service.database, "one")
    assert set(flagged[flagged["flagged"]]["participant"]) == {everyone[0]}
    assert len(preferences(flagged, ["after", "before"])) < len(pairs)
    flag(service.database, "one", everyone[0], "")
    assert not votes_of(service.database, "one")["flagged"].any()
    for nobody in ("999", "x"):
        with pytest.raises(UserError, match="no participant"):
            flag(service.database, "one", nobody, "")
    with pytest.raises(UserError, match="there is one"):
        votes_of(service.database, "two")
