"""From things to compare to a study in the database: sub-surveys, catch trials, repeats.

Paper, sections 6.2 and 6.4: 421 pairs in 21 sub-surveys of about 20, and three methods in 110
sub-surveys of 10.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import select

from apps.study.database import Database
from apps.study.media import Frames, Stored, broken, store
from apps.study.schema import Item, Medium, Study, Survey
from apps.study.votes import SIMILAR
from components.core.errors import UserError

INTACT, BROKEN = "intact", "broken"
QUESTIONS = {
    2: "Which material looks most realistic?",
    3: "Which material is the most realistic one that follows the text?",
}
"""By the number of methods (paper, sections 6.2 and 6.4)."""


@dataclass(frozen=True)
class Comparison:
    """One prompt, and what each method made of it."""

    pair: str
    prompt: str
    category: str
    frames: Callable[[], Mapping[str, Frames]]
    """Reads or renders the media when they are needed: all of a study would not fit in memory."""


@dataclass(frozen=True)
class Design:
    """How a study is laid out."""

    per_survey: int = 20
    catch_share: float = 0.1
    repeat_share: float = 0.05
    minimum_seconds: float = 1.0
    question: str = ""
    """Instead of the one of `QUESTIONS`."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.per_survey < 1:
            raise UserError(f"{self.per_survey} items in a sub-survey are too few: give 1 or more.")
        for name in ("catch_share", "repeat_share"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise UserError(f"{name} must be from 0 to 0.5, not {getattr(self, name)}.")


@dataclass(frozen=True)
class Created:
    """What was made: the study's name, its methods, how many sub-surveys it has."""

    name: str
    methods: tuple[str, ...]
    surveys: int


@dataclass(frozen=True)
class Planned:
    """An item before it is in the database; `pair` counts the comparisons from 0."""

    kind: str
    pair: int
    repeats: int | None = None


def plan(count: int, design: Design) -> list[list[Planned]]:
    """The sub-surveys: every comparison once, evenly dealt, plus practice, catch trials, repeats.

    Numbers of `repeats` refer to the place in the sub-survey's own list.
    """
    rng = np.random.default_rng(design.seed)
    surveys = max(1, round(count / design.per_survey))
    dealt = np.array_split(rng.permutation(count), surveys)
    found = []
    for members in dealt:
        practice = Planned("practice", int(rng.integers(count)))
        items = [practice, *(Planned("plain", int(pair)) for pair in members)]
        catch = _share(design.catch_share, len(members))
        items += [Planned("catch", int(rng.integers(count))) for _ in range(catch)]
        again = rng.choice(len(members), _share(design.repeat_share, len(members)), replace=False)
        items += [Planned("repeat", int(members[i]), int(i) + 1) for i in again]
        found.append(items)
    return found


def _share(share: float, count: int) -> int:
    """At least one of a share that is asked for."""
    return min(count, max(1, round(share * count))) if share else 0


def create(
    database: Database,
    media: Path,
    name: str,
    comparisons: Sequence[Comparison],
    design: Design | None = None,
    *,
    progress: Callable[[Sequence[int]], Iterable[int]] = lambda indices: indices,
) -> Created:
    """Write the media and then, in one transaction, the study; UserError if the name is taken."""
    design = design or Design()
    check_name(database, name)
    if not comparisons:
        raise UserError("There is nothing to compare: give at least one pair.")
    check_lengths(design, comparisons)
    surveys = plan(len(comparisons), design)
    rng = np.random.default_rng(design.seed)
    media.mkdir(parents=True, exist_ok=True)
    shown: list[dict[str, Stored]] = []
    caught: dict[int, dict[str, Stored]] = {}
    wanted = {
        item.pair for items in surveys for item in items if item.kind in ("catch", "practice")
    }
    methods: list[str] = []
    for index in progress(range(len(comparisons))):
        frames = comparisons[index].frames()
        methods = check_methods(comparisons[index], frames, methods)
        shown.append({method: store(frames[method], media) for method in methods})
        if index in wanted:
            # In turn, so that the right answers speak for no method.
            intact = frames[methods[len(caught) % len(methods)]]
            caught[index] = catch(intact, len(methods), media, rng)
    with database.session() as session:
        study = Study(
            name=name, question=design.question or QUESTIONS[len(methods)], methods=methods,
            minimum_seconds=design.minimum_seconds, salt=secrets.token_hex(16),
        )  # fmt: skip
        session.add(study)
        session.flush()
        for files in (*shown, *caught.values()):
            session.add_all(
                Medium(id=one.id, study_id=study.id, file=one.file, type=one.type)
                for one in files.values()
            )
        for number, items in enumerate(surveys):
            survey = Survey(study_id=study.id, number=number)
            survey.items = [
                item_of(planned, place, comparisons[planned.pair], shown, caught)
                for place, planned in enumerate(items)
            ]
            session.add(survey)
    return Created(name, tuple(methods), len(surveys))


def item_of(
    planned: Planned,
    number: int,
    comparison: Comparison,
    shown: Sequence[Mapping[str, Stored]],
    caught: Mapping[int, Mapping[str, Stored]],
) -> Item:
    """The row of a planned item."""
    check = planned.kind in ("catch", "practice")
    files = caught[planned.pair] if check else shown[planned.pair]
    return Item(
        number=number,
        kind=planned.kind,
        prompt=comparison.prompt,
        category=comparison.category,
        pair=comparison.pair,
        answer=INTACT if check else "",
        repeats=planned.repeats,
        media={method: one.id for method, one in files.items()},
    )


def catch(frames: Frames, methods: int, media: Path, rng: np.random.Generator) -> dict[str, Stored]:
    """An intact medium beside broken ones: only one answer is right."""
    files = {INTACT: store(frames, media)}
    for number in range(1, methods):
        files[f"{BROKEN}{number}"] = store(broken(frames, rng), media)
    return files


def check_lengths(design: Design, comparisons: Sequence[Comparison]) -> None:
    """PostgreSQL refuses what is longer than its columns, and only after everything is rendered."""
    texts = [("question", design.question, 500)]
    for one in comparisons:
        texts += [("prompt", one.prompt, 500), ("name", one.pair, 64)]
        texts += [("category", one.category, 32)]
    for what, text, most in texts:
        if len(text) > most:
            raise UserError(
                f"The {what} '{text[:40]}…' has {len(text)} characters: shorten it to {most}."
            )


def check_methods(
    comparison: Comparison, frames: Mapping[str, Frames], known: Sequence[str]
) -> list[str]:
    """The methods, which every comparison must have and which must not be called "similar"."""
    methods = sorted(frames)
    if len(methods) < 2 or SIMILAR in methods or max(map(len, methods)) > 64:
        raise UserError(
            f"{comparison.pair} compares {', '.join(methods) or 'nothing'}: give two methods or "
            f"more, none of them called '{SIMILAR}', with names of 64 characters at most."
        )
    if known and methods != list(known):
        raise UserError(f"{comparison.pair} has {', '.join(methods)}, not {', '.join(known)}.")
    if len({frames[method].shape for method in methods}) > 1:
        raise UserError(
            f"{comparison.pair}: the methods have different numbers of frames: give all of them "
            "stills, or loops of one length."
        )
    return methods


def check_name(database: Database, name: str) -> None:
    """A study's name is part of its address."""
    if not (0 < len(name) <= 64 and name.isascii() and name.replace("-", "").isalnum()):
        raise UserError(f"'{name[:70]}' cannot name a study: use up to 64 letters, digits and '-'.")
    with database.session() as session:
        if session.scalar(select(Study).where(Study.name == name)) is not None:
            raise UserError(f"There is already a study '{name}': choose another name.")
