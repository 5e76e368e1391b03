"""What the server answers when it cannot grant a request: one sentence, never what was sent.

Frameworks like to repeat a wrong value in their answer. Valid JSON holds values that no answer can
(`1e999`, `"\\ud800"`), and a refusal has nothing to do with echoing a stranger's text.
"""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

log = logging.getLogger(__name__)
MAX_WORDS = 300
LATER = {"Retry-After": "5"}
NO_DATABASE = "The database does not answer at the moment: please try again in a few seconds."

BROKEN = "Something went wrong here, and the server has noted what."


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str = Field(description="A sentence for people, with the field if one is at fault.")


def answer_in_words(app: FastAPI) -> None:
    """Refuse what an application cannot read, and say so while it has no database."""

    @app.exception_handler(RequestValidationError)
    async def unreadable(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": in_words(error)}, 422)

    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(NoConnection)
    async def no_database(_: Request, error: Exception) -> JSONResponse:
        log.error("database does not answer", extra={"reason": _kind(error)})
        return JSONResponse({"detail": NO_DATABASE}, 503, LATER)

    @app.exception_handler(DBAPIError)
    async def wrong(_: Request, error: DBAPIError) -> JSONResponse:
        # With its placeholders: a driver's own text repeats the values in their places.
        words = {"reason": _kind(error), "statement": str(error.statement)}
        log.error("database refused a statement", extra=words)
        return JSONResponse({"detail": BROKEN}, 500)


def _kind(error: Exception) -> str:
    """The kind of an error alone: its text may hold an address or a row."""
    return type(getattr(error, "orig", None) or error).__name__


def in_words(error: RequestValidationError) -> str:
    """The first thing that is wrong: "field: sentence"."""
    first = error.errors()[0]
    # The location begins with where the value was: body, query, path or header.
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return speakable(f"{where}: {first['msg']}")


def speakable(text: str) -> str:
    """Text that every answer can hold: a name of a field may be as hostile as its value."""
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in safe)[:MAX_WORDS]
