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
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from itsdangerous import BadSignature, Signer
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Transaction

from apps.study.database import Database
from apps.study.passage import (
    Look,
    Passages,
    Shown,
    Step,
    answer_at_once,
    count,
    show,
    since_when,
    trials_of,
    upcoming,
)
from apps.study.schema import Item, Medium, Participant, Session, Study, Survey, Trial, now
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
class Known:
    """What never changes of a study, so that no request has to ask for it again."""

    id: int
    question: str
    salt: str
    minimum_seconds: float


class Service:
    """The study's rules over a database. `key` signs the participants' tokens."""

    def __init__(self, database: Database, key: str, clock: Callable[[], datetime] = now) -> None:
        self.database = database
        self.clock = clock
        self._signer = Signer(key, salt="participant", digest_method=hashlib.sha256)
        self._known: dict[str, Known] = {}
        self._passages = Passages()

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
        token = token or self._signer.sign(secrets.token_urlsafe(18)).decode()
        try:
            return self._join(name, token)
        except IntegrityError:  # the same token at the same time on another connection
            return self._join(name, token)

    def _join(self, name: str, token: str) -> dict[str, Any]:
        with self.database.session() as session:
            study = self._study(session, name)
            if session.scalar(select(Study.closed).where(Study.id == study.id)):
                raise Refused(410, "This study is closed. Thank you for your interest.")
            digest = self._digest(token, study)
            participant = _participant(session, study, digest)
            if participant is None:
                participant = Participant(study_id=study.id, hash=digest)
                session.add(participant)
                session.flush()
            trials = trials_of(session, participant.id)
            if upcoming(trials) is None and _begin(session, study, participant):
                trials = trials_of(session, participant.id)
            found = self._state(session, study, participant.id, trials)
        self._passages.remember(study.id, digest, trials)
        return {"token": token, **found}

    def state(self, name: str, token: str) -> dict[str, Any]:
        """What comes next for this participant."""
        with self.database.session() as session:
            study = self._study(session, name)
            participant = self._known_participant(session, study, token)
            return self._state(session, study, participant, trials_of(session, participant))

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
            study = self._study(session, name)
            digest = self._digest(token, study)
            step = self._passages.step(study.id, digest, trial_id)
            if step is not None:
                found = self._next(session, study, step, side, seconds)
                if found is not None:
                    return found
            participant = self._known_participant(session, study, token)
            trials = trials_of(session, participant)
            self._passages.remember(study.id, digest, trials)
            trial = next((one for one in trials if one.id == trial_id), None)
            if trial is None:
                raise Refused(404, "This comparison is not one of yours.")
            choice = _choice(trial, side)
            if not trial.voted:
                if trial is not upcoming(trials) or trial.shown is None:
                    raise Refused(409, "This comparison is not the one that is shown.")
                count(session, self._weighed(study, trial, trial.shown, choice, side, seconds))
                done = replace(trial, voted=True)
                trials = [done if one is trial else one for one in trials]
            return self._state(session, study, participant, trials)

    def _next(
        self, session: Transaction, study: Known, step: Step, side: str, seconds: float
    ) -> dict[str, Any] | None:
        """Count the vote of a remembered trial if it is the one to answer: what comes next."""
        choice = _choice(step.trial, side)
        if self.database.engine.dialect.name == "postgresql":
            now = self.clock()
            look = Look(now, now - timedelta(seconds=study.minimum_seconds))
            measured = min(max(seconds, 0.0), MAX_SECONDS)
            if not answer_at_once(session, step, (choice, side), measured, look):
                return None
        else:
            current, shown = since_when(session, step)
            if not current or shown is None:
                return None
            count(session, self._weighed(study, step.trial, shown, choice, side, seconds))
            show(session, step.after.id, self.clock())
        return _described(study, step.after, step.total)

    def _weighed(
        self, study: Known, trial: Shown, shown: datetime, choice: str, side: str, seconds: float
    ) -> dict[str, Any]:
        """The row of a vote; Refused if the look did not last."""
        looked = (self.clock() - _utc(shown)).total_seconds()
        if looked < study.minimum_seconds:
            raise Refused(425, "Please look a little longer before you choose.")
        return {
            "trial_id": trial.id, "choice": choice, "side": side, "created": self.clock(),
            # What the browser measured, but never more than has passed here.
            "seconds": min(max(seconds, 0.0), looked, MAX_SECONDS),
        }  # fmt: skip

    def medium(self, medium_id: str) -> tuple[str, str] | None:
        """(file, type) of a medium, None if there is none."""
        with self.database.reading() as session:
            found = session.get(Medium, medium_id)
            return (found.file, found.type) if found else None

    def _state(
        self, session: Transaction, study: Known, participant: int, trials: list[Shown]
    ) -> dict[str, Any]:
        trial = upcoming(trials)
        if trial is None:
            return {"done": True, "more": _free_survey(session, study, participant) is not None}
        if trial.shown is None:
            show(session, trial.id, self.clock())
        total = sum(one.session == trial.session for one in trials)
        return _described(study, trial, total)

    def _study(self, session: Transaction, name: str) -> Known:
        if name not in self._known:
            found = session.scalar(select(Study).where(Study.name == name))
            if found is None:
                raise Refused(404, "There is no such study.")
            self._known[name] = Known(found.id, found.question, found.salt, found.minimum_seconds)
        return self._known[name]

    def _digest(self, token: str, study: Known) -> str:
        try:
            self._signer.unsign(token)
        except BadSignature as error:
            raise Refused(401, "This link is not valid: start the study again.") from error
        return hmac.new(study.salt.encode(), token.encode(), hashlib.sha256).hexdigest()

    def _known_participant(self, session: Transaction, study: Known, token: str) -> int:
        found = _participant(session, study, self._digest(token, study))
        if found is None:
            raise Refused(401, "You have not joined this study yet.")
        return found.id


def _utc(time: datetime) -> datetime:
    """SQLite forgets the zone, which is always UTC here."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _participant(session: Transaction, study: Known, digest: str) -> Participant | None:
    return session.scalar(
        select(Participant).where(Participant.study_id == study.id, Participant.hash == digest)
    )


def _choice(trial: Shown, side: str) -> str:
    """The method that a side of the screen shows, or "similar"."""
    places = PLACES[len(trial.sides)]
    if side not in (*places, SIMILAR):
        raise Refused(422, f"Choose one of {', '.join(places)} or {SIMILAR}.")
    return SIMILAR if side == SIMILAR else trial.sides[places.index(side)]


def _described(study: Known, trial: Shown, total: int) -> dict[str, Any]:
    """What the participant's page is told of a trial."""
    return {
        "done": False,
        "trial": trial.id,
        "position": trial.position,
        "total": total,
        "practice": trial.practice,
        "question": study.question,
        "prompt": trial.prompt,
        "media": [trial.media[method] for method in trial.sides],
        "places": PLACES[len(trial.sides)],
        "minimum_seconds": study.minimum_seconds,
    }


def _free_survey(session: Transaction, study: Known, participant: int) -> int | None:
    """The sub-survey with fewest sessions that this participant has not taken."""
    taken = select(Session.survey_id).where(Session.participant_id == participant)
    return session.scalar(
        select(Survey.id)
        .outerjoin(Session)
        .where(Survey.study_id == study.id, Survey.id.not_in(taken))
        .group_by(Survey.id)
        .order_by(func.count(Session.id), func.random())
        .limit(1)
    )


def _begin(session: Transaction, study: Known, participant: Participant) -> bool:
    """Open a session and fix the order of its trials and of the methods on the screen.

    False if the participant has taken every sub-survey.
    """
    survey = _free_survey(session, study, participant.id)
    if survey is None:
        return False
    running = Session(participant_id=participant.id, survey_id=survey)
    session.add(running)
    session.flush()
    items = list(session.scalars(select(Item).where(Item.survey_id == survey)))
    chance = random.SystemRandom()
    sides: dict[int, list[str]] = {}
    trials: list[dict[str, Any]] = []
    for position, item in enumerate(ordered(items, chance)):
        drawn = chance.sample(sorted(item.media), len(item.media))
        if item.kind == "repeat" and item.repeats is not None:
            # Nothing stays where it was, so that the side alone cannot repeat the answer.
            drawn = [*sides[item.repeats][1:], sides[item.repeats][0]]
        sides[item.number] = drawn
        trials.append(
            {
                "id": secrets.token_urlsafe(12), "session_id": running.id, "item_id": item.id,
                "position": position, "sides": drawn,
            }
        )  # fmt: skip
    session.execute(insert(Trial), trials)
    return True


def ordered(items: list[Item], chance: random.Random) -> list[Item]:
    """Practice first, the rest shuffled, repeats well after what they repeat."""
    practice = [item for item in items if item.kind == "practice"]
    rest = [item for item in items if item.kind not in ("practice", "repeat")]
    chance.shuffle(rest)
    for item in (item for item in items if item.kind == "repeat"):
        first = next(i for i, other in enumerate(rest) if other.number == item.repeats)
        rest.insert(chance.randint(min(first + GAP, len(rest)), len(rest)), item)
    return [*practice, *rest]
