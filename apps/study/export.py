"""Votes out of the database: as the table that the statistics read, and as preference pairs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import select

from apps.study.database import Database
from apps.study.media import encode, read_frames
from apps.study.schema import Item, Medium, Participant, Session, Study, Survey, Trial, Vote
from apps.study.votes import COLUMNS, SIMILAR
from components.core.errors import UserError

ALL = (
    *COLUMNS, "side", "kind", "passed", "repeats", "prompt", "category", "survey", "seconds",
    "created", "flagged",
)  # fmt: skip


def votes_of(database: Database, name: str) -> pd.DataFrame:
    """All votes of a study but those on practice items, in the order in which they were cast.

    Participants are numbers without meaning outside the database. `trial` is what was compared;
    catch trials and repeats have names of their own.
    """
    query = (
        select(Vote, Trial, Item, Participant, Survey)
        .join(Trial, Vote.trial_id == Trial.id)
        .join(Item, Trial.item_id == Item.id)
        .join(Session, Trial.session_id == Session.id)
        .join(Participant, Session.participant_id == Participant.id)
        .join(Survey, Session.survey_id == Survey.id)
        .join(Study, Survey.study_id == Study.id)
        .where(Study.name == name, Item.kind != "practice")
        .order_by(Vote.id)
    )
    with database.reading() as session:
        study = session.scalar(select(Study).where(Study.name == name))
        if study is None:
            known = ", ".join(session.scalars(select(Study.name))) or "none yet"
            raise UserError(f"There is no study '{name}': there is {known}.")
        rows = [_row(name, *found) for found in session.execute(query)]
    return pd.DataFrame(rows, columns=list(ALL))


def _row(
    name: str, vote: Vote, trial: Trial, item: Item, participant: Participant, survey: Survey
) -> dict[str, Any]:
    plain = item.kind == "plain"
    return {
        "study": name,
        "participant": str(participant.id),
        "trial": item.pair if plain else f"{item.kind}-{survey.number}-{item.number}",
        "choice": vote.choice,
        "side": vote.side,
        "kind": item.kind,
        "passed": item.kind != "catch" or vote.choice == item.answer,
        "repeats": item.pair if item.kind == "repeat" else "",
        "prompt": item.prompt,
        "category": item.category,
        "survey": survey.number,
        "seconds": vote.seconds,
        "created": vote.created.isoformat(),
        "flagged": bool(participant.flag),
    }


def methods_of(database: Database, name: str) -> list[str]:
    """The methods that a study compares."""
    with database.reading() as session:
        study = session.scalar(select(Study).where(Study.name == name))
        return list(study.methods) if study else []


def preferences(votes: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """(pair, prompt, preferred, other, participant): one row for each method that lost a vote.

    For training a reward on comparisons. Flagged participants, "similar" and everything but plain
    trials are left out.
    """
    plain = votes[(votes["kind"] == "plain") & ~votes["flagged"] & (votes["choice"] != SIMILAR)]
    rows = [
        {
            "pair": row.trial, "prompt": row.prompt, "category": row.category,
            "preferred": row.choice, "other": other, "participant": row.participant,
        }
        for row in plain.itertuples()
        for other in methods
        if other != row.choice
    ]  # fmt: skip
    names = ["pair", "prompt", "category", "preferred", "other", "participant"]
    return pd.DataFrame(rows, columns=names)


def with_images(table: pd.DataFrame, database: Database, name: str, media: Path) -> pd.DataFrame:
    """The preferences with the PNG of the preferred and of the other medium (a loop's first frame).

    media: folder of the study's media.
    """
    with database.reading() as session:
        items = session.scalars(
            select(Item)
            .join(Survey, Item.survey_id == Survey.id)
            .join(Study, Survey.study_id == Study.id)
            .where(Study.name == name, Item.kind == "plain")
        )
        media_of = {item.pair: item.media for item in items}
        files = {medium.id: medium.file for medium in session.scalars(select(Medium))}

    def content(pair: str, method: str) -> bytes:
        frames = read_frames(media / files[media_of[pair][method]])
        return encode(frames[:1])[0]

    different = {
        (p, m) for c in ("preferred", "other") for p, m in zip(table["pair"], table[c], strict=True)
    }
    known = {key: content(*key) for key in sorted(different)}
    columns = {
        f"{column}_image": [known[key] for key in zip(table["pair"], table[column], strict=True)]
        for column in ("preferred", "other")
    }
    return table.assign(**columns)


def table_bytes(table: pd.DataFrame, suffix: str) -> bytes:
    """The table as .csv or .parquet; UserError for another suffix."""
    buffer = io.BytesIO()
    match suffix.lower():
        case ".csv":
            table.to_csv(buffer, index=False)
        case ".parquet":
            table.to_parquet(buffer, index=False)
        case _:
            raise UserError(f"A table ends in .csv or .parquet, not in '{suffix}'.")
    return buffer.getvalue()


def flag(database: Database, name: str, participant: str, reason: str) -> None:
    """Mark a participant, whose votes stay; "" takes the mark away. UserError if unknown."""
    with database.session() as session:
        found = session.scalar(
            select(Participant)
            .join(Study, Participant.study_id == Study.id)
            .where(Study.name == name, Participant.id == _number(participant))
        )
        if found is None:
            raise UserError(f"The study '{name}' has no participant {participant}.")
        found.flag = reason[:200]


def close(database: Database, name: str, closed: bool = True) -> None:
    """Let nobody new take part, or open the study again; UserError if there is no such study."""
    with database.session() as session:
        found = session.scalar(select(Study).where(Study.name == name))
        if found is None:
            raise UserError(f"There is no study '{name}': `realmat serve` lists those there are.")
        found.closed = closed


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UserError(f"'{text}' is no participant's number: see the exported votes.") from error
