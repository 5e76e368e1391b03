"""The study's tables. Votes are only ever added; what is doubted is flagged, never removed.

A study has sub-surveys, a sub-survey has items (what is compared), an item shows one medium for
each method. A participant takes a sub-survey in a session, whose trials fix, before anything is
shown, which item comes when and which method on which side. A trial gets at most one vote.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, Float, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """Common base of the tables."""


class Study(Base):
    """One question put to people. `methods` are the names that may win, in no order."""

    __tablename__ = "studies"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    question: Mapped[str] = mapped_column(String(500))
    methods: Mapped[list[str]] = mapped_column(JSON)
    minimum_seconds: Mapped[float] = mapped_column(Float)
    salt: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    closed: Mapped[bool] = mapped_column(Boolean, default=False)
    surveys: Mapped[list[Survey]] = relationship(back_populates="study")


class Survey(Base):
    """A sub-survey: the items that one session shows."""

    __tablename__ = "surveys"
    __table_args__ = (UniqueConstraint("study_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    number: Mapped[int]
    study: Mapped[Study] = relationship(back_populates="surveys")
    items: Mapped[list[Item]] = relationship(back_populates="survey")


class Item(Base):
    """What is compared. kind: "practice", "plain", "catch" (`answer` is the right method) or
    "repeat" (of the item numbered `repeats`). media: id of the medium of each method."""

    __tablename__ = "items"
    __table_args__ = (UniqueConstraint("survey_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    survey_id: Mapped[int] = mapped_column(ForeignKey("surveys.id"))
    number: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    prompt: Mapped[str] = mapped_column(String(500))
    category: Mapped[str] = mapped_column(String(32), default="")
    pair: Mapped[str] = mapped_column(String(64))
    answer: Mapped[str] = mapped_column(String(64), default="")
    repeats: Mapped[int | None]
    media: Mapped[dict[str, str]] = mapped_column(JSON)
    survey: Mapped[Survey] = relationship(back_populates="items")


class Medium(Base):
    """A picture or loop. Its id tells nothing of what it shows; `file` is its name in the store."""

    __tablename__ = "media"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    file: Mapped[str] = mapped_column(String(80))
    type: Mapped[str] = mapped_column(String(32))


class Participant(Base):
    """Someone who votes, known by a salted hash of a token that only their browser has."""

    __tablename__ = "participants"
    __table_args__ = (UniqueConstraint("study_id", "hash"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    hash: Mapped[str] = mapped_column(String(64))
    consented: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    flag: Mapped[str] = mapped_column(String(200), default="")


class Session(Base):
    """One participant's passage through one sub-survey, which nobody takes twice."""

    __tablename__ = "sessions"
    __table_args__ = (UniqueConstraint("participant_id", "survey_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    participant_id: Mapped[int] = mapped_column(ForeignKey("participants.id"))
    survey_id: Mapped[int] = mapped_column(ForeignKey("surveys.id"))
    started: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    trials: Mapped[list[Trial]] = relationship(back_populates="session")


class Trial(Base):
    """One item at one place of a session; `sides` are the methods from left to right."""

    __tablename__ = "trials"
    __table_args__ = (
        UniqueConstraint("session_id", "position"),
        UniqueConstraint("session_id", "item_id"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id"))
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))
    position: Mapped[int]
    sides: Mapped[list[str]] = mapped_column(JSON)
    shown: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    session: Mapped[Session] = relationship(back_populates="trials")
    item: Mapped[Item] = relationship()
    vote: Mapped[Vote | None] = relationship(back_populates="trial")


class Vote(Base):
    """What was chosen: a side, or "similar". One for each trial, never changed."""

    __tablename__ = "votes"
    __table_args__ = (Index("votes_trial", "trial_id", unique=True),)
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[str] = mapped_column(ForeignKey("trials.id"))
    choice: Mapped[str] = mapped_column(String(64))
    side: Mapped[str] = mapped_column(String(16))
    seconds: Mapped[float] = mapped_column(Float)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    trial: Mapped[Trial] = relationship(back_populates="vote")


def as_row(model: Base) -> dict[str, Any]:
    """The columns of a row, for exports."""
    return {column.name: getattr(model, column.name) for column in model.__table__.columns}
