"""What participants can do: consent, look, vote. The server alone decides who sees what, and where.

A participant is known by a token that the server signed and only their browser keeps; the database
holds a salted hash of it. Asking again for the same thing changes nothing: a vote that was counted
stays as it is, and is acknowledged again.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from itsdangerous import BadSignature, Signer
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Transaction
from sqlalchemy.orm import selectinload

from apps.study.database import Database
from apps.study.schema import Item, Medium, Participant, Session, Study, Survey, Trial, Vote, now
from apps.study.votes import SIMILAR

GAP = 3
"""A repeated item comes at least this many places after its first showing, where it can."""
PLACES = {2: ("left", "right"), 3: ("left", "middle", "right")}
MAX_SECONDS = 24 * 3600.0


class Refused(Exception):
    """A request that cannot be granted; `status` is HTTP's, the text a sentence for people."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Service:
    """The study's rules over a database. `key` signs the participants' tokens."""

    database: Database
    key: str
    clock: Callable[[], datetime] = now

    def studies(self) -> list[dict[str, Any]]:
        """The open studies: name, question."""
        with self.database.reading() as session:
            found = session.scalars(select(Study).where(Study.closed.is_(False)).order_by(Study.id))
            return [{"name": study.name, "question": study.question} for study in found]

    def has(self, name: str) -> bool:
        """Whether there is such a study, open or closed."""
        with self.database.reading() as session:
            return session.scalar(select(Study.id).where(Study.name == name)) is not None

    def join(self, name: str, token: str = "") -> dict[str, Any]:
        """Consent given: a token and the state; an old token goes on where it was.

        Joining again after a finished sub-survey begins another that the participant has not taken.
        """
        token = token or self._new_token()
        with self.database.session() as session:
            study = _study(session, name)
            if study.closed:
                raise Refused(410, "This study is closed. Thank you for your interest.")
            digest = self._digest(token, study)
            participant = session.scalar(
                select(Participant).where(
                    Participant.study_id == study.id, Participant.hash == digest
                )
            )
            if participant is None:
                participant = Participant(study_id=study.id, hash=digest)
                session.add(participant)
                session.flush()
            if _open_session(session, participant) is None:
                _begin(session, study, participant)
            return {"token": token, **self._state(session, study, participant)}

    def state(self, name: str, token: str) -> dict[str, Any]:
        """What comes next for this participant."""
        with self.database.session() as session:
            study = _study(session, name)
            return self._state(session, study, self._participant(session, study, token))

    def vote(
        self, name: str, token: str, trial_id: str, side: str, seconds: float
    ) -> dict[str, Any]:
        """Count a vote; the same again is acknowledged and changes nothing."""
        try:
            return self._vote(name, token, trial_id, side, seconds)
        except IntegrityError:  # the same request at the same time on another connection
            return self._vote(name, token, trial_id, side, seconds)

    def _vote(
        self, name: str, token: str, trial_id: str, side: str, seconds: float
    ) -> dict[str, Any]:
        with self.database.session() as session:
            study = _study(session, name)
            participant = self._participant(session, study, token)
            trial = session.scalar(
                select(Trial)
                .join(Session)
                .where(Trial.id == trial_id, Session.participant_id == participant.id)
            )
            if trial is None:
                raise Refused(404, "This comparison is not one of yours.")
            places = PLACES[len(trial.sides)]
            if side not in (*places, SIMILAR):
                raise Refused(422, f"Choose one of {', '.join(places)} or {SIMILAR}.")
            if session.scalar(select(Vote.id).where(Vote.trial_id == trial.id)) is None:
                self._count(session, study, trial, side, seconds)
            return self._state(session, study, participant)

    def _count(
        self, session: Transaction, study: Study, trial: Trial, side: str, seconds: float
    ) -> None:
        current = _next_trial(session, trial.session_id)
        if current is None or current.id != trial.id or trial.shown is None:
            raise Refused(409, "This comparison is not the one that is shown.")
        looked = (self.clock() - _utc(trial.shown)).total_seconds()
        if looked < study.minimum_seconds:
            raise Refused(425, "Please look a little longer before you choose.")
        choice = SIMILAR if side == SIMILAR else trial.sides[PLACES[len(trial.sides)].index(side)]
        # What the browser measured, but never more than has passed here.
        seconds = min(max(seconds, 0.0), looked, MAX_SECONDS)
        session.add(
            Vote(trial_id=trial.id, choice=choice, side=side, seconds=seconds, created=self.clock())
        )
        session.flush()

    def medium(self, medium_id: str) -> tuple[str, str] | None:
        """(file, type) of a medium, None if there is none."""
        with self.database.reading() as session:
            found = session.get(Medium, medium_id)
            return (found.file, found.type) if found else None

    def _state(
        self, session: Transaction, study: Study, participant: Participant
    ) -> dict[str, Any]:
        running = _open_session(session, participant)
        if running is None:
            return {"done": True, "more": _free_survey(session, study, participant) is not None}
        trial = _next_trial(session, running.id)
        assert trial is not None
        if trial.shown is None:
            trial.shown = self.clock()
        total = session.scalar(select(func.count(Trial.id)).where(Trial.session_id == running.id))
        return {
            "done": False,
            "trial": trial.id,
            "position": trial.position,
            "total": total,
            "practice": trial.item.kind == "practice",
            "question": study.question,
            "prompt": trial.item.prompt,
            "media": [trial.item.media[method] for method in trial.sides],
            "places": PLACES[len(trial.sides)],
            "minimum_seconds": study.minimum_seconds,
        }

    def _new_token(self) -> str:
        return self._signer().sign(secrets.token_urlsafe(18)).decode()

    def _signer(self) -> Signer:
        return Signer(self.key, salt="participant", digest_method=hashlib.sha256)

    def _digest(self, token: str, study: Study) -> str:
        try:
            self._signer().unsign(token)
        except BadSignature as error:
            raise Refused(401, "This link is not valid: start the study again.") from error
        return hmac.new(study.salt.encode(), token.encode(), hashlib.sha256).hexdigest()

    def _participant(self, session: Transaction, study: Study, token: str) -> Participant:
        digest = self._digest(token, study)
        found = session.scalar(
            select(Participant).where(Participant.study_id == study.id, Participant.hash == digest)
        )
        if found is None:
            raise Refused(401, "You have not joined this study yet.")
        return found


def _utc(time: datetime) -> datetime:
    """SQLite forgets the zone, which is always UTC here."""
    return time if time.tzinfo else time.replace(tzinfo=now().tzinfo)


def _study(session: Transaction, name: str) -> Study:
    study = session.scalar(select(Study).where(Study.name == name))
    if study is None:
        raise Refused(404, "There is no such study.")
    return study


def _open_session(session: Transaction, participant: Participant) -> Session | None:
    """The session with trials that have no vote yet."""
    waiting = (
        select(Trial.session_id)
        .join(Session)
        .outerjoin(Vote)
        .where(Session.participant_id == participant.id, Vote.id.is_(None))
        .limit(1)
    )
    found = session.scalar(waiting)
    return None if found is None else session.get(Session, found)


def _next_trial(session: Transaction, session_id: int) -> Trial | None:
    return session.scalar(
        select(Trial)
        .outerjoin(Vote)
        .where(Trial.session_id == session_id, Vote.id.is_(None))
        .options(selectinload(Trial.item))
        .order_by(Trial.position)
        .limit(1)
    )


def _free_survey(session: Transaction, study: Study, participant: Participant) -> Survey | None:
    """The sub-survey with fewest sessions that this participant has not taken."""
    taken = select(Session.survey_id).where(Session.participant_id == participant.id)
    return session.scalar(
        select(Survey)
        .outerjoin(Session)
        .where(Survey.study_id == study.id, Survey.id.not_in(taken))
        .group_by(Survey.id)
        .order_by(func.count(Session.id), func.random())
        .limit(1)
    )


def _begin(session: Transaction, study: Study, participant: Participant) -> None:
    """Open a session and fix the order of its trials and of the methods on the screen."""
    survey = _free_survey(session, study, participant)
    if survey is None:
        return
    running = Session(participant_id=participant.id, survey_id=survey.id)
    session.add(running)
    session.flush()
    items = list(session.scalars(select(Item).where(Item.survey_id == survey.id)))
    chance = random.SystemRandom()
    sides: dict[int, list[str]] = {}
    for position, item in enumerate(ordered(items, chance)):
        drawn = chance.sample(sorted(item.media), len(item.media))
        if item.kind == "repeat" and item.repeats is not None:
            drawn = sides[item.repeats][::-1]  # so that the side alone cannot repeat the answer
        sides[item.number] = drawn
        session.add(
            Trial(
                id=secrets.token_urlsafe(12), session_id=running.id, item_id=item.id,
                position=position, sides=drawn,
            )
        )  # fmt: skip
    session.flush()


def ordered(items: list[Item], chance: random.Random) -> list[Item]:
    """Practice first, the rest shuffled, repeats well after what they repeat."""
    practice = [item for item in items if item.kind == "practice"]
    rest = [item for item in items if item.kind not in ("practice", "repeat")]
    chance.shuffle(rest)
    for item in (item for item in items if item.kind == "repeat"):
        first = next(i for i, other in enumerate(rest) if other.number == item.repeats)
        rest.insert(chance.randint(min(first + GAP, len(rest)), len(rest)), item)
    return [*practice, *rest]
