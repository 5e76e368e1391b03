"""The study over HTTP: pages and media below /study, what they ask below /api/study.

Nothing here knows who a participant is. Every address is relative, so that the pages also work
behind a proxy that adds a prefix.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.staticfiles import StaticFiles

from apps.study.export import methods_of, table_bytes, votes_of
from apps.study.service import Refused, Service
from apps.study.statistics import with_and_without_flagged
from components.core.errors import UserError

PAGES = Path(__file__).parent / "pages"
MEDIUM = re.compile(r"[A-Za-z0-9_-]{1,32}")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Token = Annotated[str, StringConstraints(max_length=200)]
NAME = r"^[A-Za-z0-9-]{1,64}$"
Name = Annotated[str, StringConstraints(pattern=NAME)]
"""As `design.check_name` gives them. Whatever else is asked for reaches no database: PostgreSQL's
driver, for one, raises for a NUL."""


class Strict(BaseModel):
    """A body without unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Join(Strict):
    """Consent, and the token of an earlier visit."""

    consent: bool
    token: Token = ""


class Ask(Strict):
    """Who asks."""

    token: Token


class Cast(Strict):
    """A vote: the side that was chosen, or "similar", and the seconds that it took."""

    token: Token
    trial: Annotated[str, StringConstraints(max_length=32, pattern=r"^[A-Za-z0-9_-]*$")]
    choice: Annotated[str, StringConstraints(max_length=16)]
    seconds: float = Field(ge=0, le=1e6, allow_inf_nan=False)


def add_study(
    app: FastAPI, service: Service, media: Path, owner_token: str, counted: Callable[[], None]
) -> None:
    """Add pages and API to an application. Without an owner's token there are no results to see.

    `counted` is called for every vote that is acknowledged.
    """

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, error.status)

    app.include_router(participants(service, counted))
    app.include_router(owner(service, owner_token))
    app.include_router(pages(service, media))
    app.mount("/study/assets", StaticFiles(directory=PAGES), name="study-assets")


def participants(service: Service, counted: Callable[[], None]) -> APIRouter:
    """What the participant's page asks."""
    router = APIRouter(prefix="/api/study", tags=["study"])

    @router.get("")
    def studies() -> list[dict[str, Any]]:
        """The open studies."""
        return service.studies()

    @router.post("/{name}/join")
    def join(name: Name, body: Join) -> dict[str, Any]:
        """Take part: returns a token and the first comparison, or where an old token stopped."""
        if not body.consent:
            raise HTTPException(422, "Please agree first.")
        return service.join(name, body.token)

    @router.post("/{name}/state")
    def state(name: Name, body: Ask) -> dict[str, Any]:
        """What comes next."""
        return service.state(name, body.token)

    @router.post("/{name}/votes")
    def vote(name: Name, body: Cast) -> dict[str, Any]:
        """Cast a vote, and see what comes next. The same vote again is counted once."""
        found = service.vote(name, body.token, body.trial, body.choice, body.seconds)
        counted()
        return found

    return router


def owner(service: Service, owner_token: str) -> APIRouter:
    """Results, for whoever holds the owner's token."""
    router = APIRouter(prefix="/api/study", tags=["study owner"])

    def check(authorization: str) -> None:
        given = authorization.removeprefix("Bearer ")
        # Bytes: a comparison of texts refuses what is not ASCII.
        if not owner_token or not hmac.compare_digest(given.encode(), owner_token.encode()):
            raise HTTPException(401, "The owner's token is missing or wrong.")

    @router.get("/{name}/results")
    def results(name: Name, authorization: str = Header("", max_length=300)) -> dict[str, Any]:
        """Everything that `realmat study results --json` says."""
        check(authorization)
        try:
            votes = votes_of(service.database, name)
        except UserError as error:
            raise HTTPException(404, str(error)) from error
        return with_and_without_flagged(votes, methods_of(service.database, name))

    def table(name: str, authorization: str, suffix: str) -> bytes:
        check(authorization)
        try:
            return table_bytes(votes_of(service.database, name), suffix)
        except UserError as error:
            raise HTTPException(404, str(error)) from error

    @router.get("/{name}/votes.csv")
    def as_csv(name: Name, authorization: str = Header("", max_length=300)) -> Response:
        """All votes as a table."""
        return Response(table(name, authorization, ".csv"), media_type="text/csv")

    @router.get("/{name}/votes.parquet")
    def as_parquet(name: Name, authorization: str = Header("", max_length=300)) -> Response:
        """All votes as a table with types."""
        content = table(name, authorization, ".parquet")
        return Response(content, media_type="application/vnd.apache.parquet")

    return router


def pages(service: Service, media: Path) -> APIRouter:
    """The participant's page, the owner's, and the media."""
    router = APIRouter(prefix="/study", include_in_schema=False)

    # Media never change, and looking them up would queue behind the votes.
    @lru_cache(maxsize=100_000)
    def medium_of(medium_id: str) -> tuple[str, str]:
        found = service.medium(medium_id)
        if found is None:
            raise KeyError(medium_id)
        return found

    @router.get("/media/{medium_id}")
    def medium(medium_id: str) -> Response:
        try:
            if not MEDIUM.fullmatch(medium_id):
                raise KeyError(medium_id)
            file, kind = medium_of(medium_id)
        except KeyError as error:
            raise HTTPException(404, "There is no such picture.") from error
        path = media / Path(file).name
        if not path.is_file():
            raise HTTPException(404, "There is no such picture.")
        headers = {**HEADERS, "Cache-Control": "private, max-age=86400, immutable"}
        return FileResponse(path, media_type=kind, headers=headers)

    def check(name: str) -> None:
        if not (re.fullmatch(NAME, name) and service.has(name)):
            raise HTTPException(404, "There is no such study.")

    @router.get("/{name}/results")
    def results(name: str) -> HTMLResponse:
        check(name)
        return HTMLResponse((PAGES / "results.html").read_text("utf-8"), headers=HEADERS)

    @router.get("/{name}")
    def study(name: str) -> HTMLResponse:
        check(name)
        return HTMLResponse((PAGES / "study.html").read_text("utf-8"), headers=HEADERS)

    return router
