"""A participant's way through the trials, and what a vote asks of the database on that way.

Which trials there are, in which order and with what on which side, is fixed before anything is
shown. So it is remembered here, and a vote asks for no more than what may change: whether its trial
and the one before have votes, and since when they have been shown. A server beside this one, or one
that has forgotten, reads it all again (`trials_of`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import DateTime, Table, bindparam, insert, select, text, update
from sqlalchemy.orm import Session as Transaction

from apps.study.schema import Item, Session, Trial, Vote

REMEMBERED = 2000
"""Participants; some 20 kB each."""


@dataclass(frozen=True)
class Shown:
    """A participant's trial, with what it shows and whether it has a vote."""

    id: str
    session: int
    position: int
    sides: list[str]
    shown: datetime | None
    practice: bool
    prompt: str
    media: dict[str, str]
    voted: bool


@dataclass(frozen=True)
class Step:
    """A trial between its neighbours; `total` trials are in the session of the one after."""

    before: Shown | None
    trial: Shown
    after: Shown
    total: int


@dataclass(frozen=True)
class Look:
    """It is `now`, and what was shown after `latest` has not been looked at long enough."""

    now: datetime
    latest: datetime


class Passages:
    """Remembers the trials of the participants who were here last, by their hash."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self.size = size
        self._known: OrderedDict[tuple[int, str], list[Shown]] = OrderedDict()
        self._one_at_a_time = threading.Lock()

    def remember(self, study: int, digest: str, trials: list[Shown]) -> None:
        """All trials of a participant, by session and position."""
        with self._one_at_a_time:
            self._known.pop((study, digest), None)
            self._known[study, digest] = trials
            while len(self._known) > self.size:
                self._known.popitem(last=False)

    def step(self, study: int, digest: str, trial: str) -> Step | None:
        """Where a trial stands; None if that is not remembered or nothing comes after it."""
        with self._one_at_a_time:
            trials = self._known.get((study, digest), [])
        here = next((i for i, one in enumerate(trials[:-1]) if one.id == trial), None)
        if here is None:
            return None
        after = trials[here + 1]
        total = sum(one.session == after.session for one in trials)
        return Step(trials[here - 1] if here else None, trials[here], after, total)


def trials_of(session: Transaction, participant: int) -> list[Shown]:
    """All trials of a participant in one query, by session and position."""
    query = (
        select(
            Trial.id, Trial.session_id, Trial.position, Trial.sides, Trial.shown,
            Item.kind == "practice", Item.prompt, Item.media, Vote.id.is_not(None),
        )
        .join(Session, Trial.session_id == Session.id)
        .join(Item, Trial.item_id == Item.id)
        .outerjoin(Vote, Vote.trial_id == Trial.id)
        .where(Session.participant_id == participant)
        .order_by(Trial.session_id, Trial.position)
    )  # fmt: skip
    return [Shown(*row) for row in session.execute(query)]


def upcoming(trials: list[Shown]) -> Shown | None:
    """The first trial without a vote."""
    return next((trial for trial in trials if not trial.voted), None)


# Built once: to build a statement takes as long as to execute it.
_trials, _votes = cast(Table, Trial.__table__), cast(Table, Vote.__table__)
_NEIGHBOURS = (
    select(_trials.c.id, _trials.c.shown, _votes.c.id.is_not(None))
    .outerjoin(_votes, _votes.c.trial_id == _trials.c.id)
    .where(_trials.c.id.in_([bindparam("here"), bindparam("before")]))
)
_COUNT = insert(_votes).values(
    {name: bindparam(name) for name in ("trial_id", "choice", "side", "seconds", "created")}
)
_SHOW = (
    update(_trials)
    .where(_trials.c.id == bindparam("following"), _trials.c.shown.is_(None))
    .values(shown=bindparam("begun"))
)
# PostgreSQL asks, counts and shows in one round trip. No row: the trial is not the one to answer,
# or has not been looked at long enough, or has a vote.
_ANSWER = text("""
    WITH counted AS (
        INSERT INTO votes (trial_id, choice, side, seconds, created)
        SELECT id, :choice, :side, least(:seconds, extract(epoch FROM :now - shown)), :now
        FROM trials
        WHERE id = :here AND shown <= :latest
            AND (:before = '' OR EXISTS (SELECT 1 FROM votes WHERE trial_id = :before))
        ON CONFLICT (trial_id) DO NOTHING
        RETURNING 1
    ), following AS (
        UPDATE trials SET shown = :now
        WHERE id = :after AND shown IS NULL AND EXISTS (SELECT 1 FROM counted)
    )
    SELECT 1 FROM counted
""").bindparams(bindparam("now", type_=DateTime(True)), bindparam("latest", type_=DateTime(True)))


def since_when(session: Transaction, step: Step) -> tuple[bool, datetime | None]:
    """(whether the step's trial is the one to answer now, since when it has been shown)."""
    before = step.before.id if step.before else ""
    rows = session.connection().execute(_NEIGHBOURS, {"here": step.trial.id, "before": before})
    found = {name: (shown, voted) for name, shown, voted in rows}
    shown, voted = found.get(step.trial.id, (None, True))
    return not voted and (not before or (before in found and found[before][1])), shown


def count(session: Transaction, vote: dict[str, Any]) -> None:
    """Store a vote: its columns but the id."""
    session.connection().execute(_COUNT, vote)


def show(session: Transaction, trial: str, now: datetime) -> None:
    """Note that a trial is shown from now on, unless it was before."""
    session.connection().execute(_SHOW, {"following": trial, "begun": now})


def answer_at_once(
    session: Transaction, step: Step, side: tuple[str, str], seconds: float, look: Look
) -> bool:
    """PostgreSQL: count the vote of a step (choice, side) and show what follows, if it may be.

    seconds: what was measured, of which no more is kept than has passed since the trial was shown.
    """
    choice, place = side
    values = {
        "here": step.trial.id, "before": step.before.id if step.before else "",
        "after": step.after.id, "choice": choice, "side": place, "seconds": seconds,
        "now": look.now, "latest": look.latest,
    }  # fmt: skip
    return session.connection().execute(_ANSWER, values).first() is not None
