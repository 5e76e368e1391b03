"""The demo over HTTP: ask, watch, list, fetch. What the page does, a script can do too."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from apps.materials.ask import Ask
from apps.materials.scheduler import ENDED, Full, Job, View
from apps.materials.shelf import DOWNLOADS, MAPS, Card, Missing
from apps.materials.studio import Studio
from apps.refusals import Problem
from components.core.errors import UserError

SECONDS = 0.15
"""Between two looks at a job that is watched."""
Session = Annotated[
    str, Header(alias="X-RealMat-Session", max_length=100, description="Yours, from an answer.")
]
Name = Annotated[str, Query(max_length=64)]
FileName = Literal[
    "albedo.png", "height.png", "roughness.png", "metallic.png", "normal.png", "material.json",
    "rendering.png", "surface.bin", "material.zip", "materialx.zip", "material.usdz", "plane.glb",
    "sphere.glb",
]  # fmt: skip
TYPES = {
    "png": "image/png", "json": "application/json", "zip": "application/zip",
    "glb": "model/gltf-binary", "usdz": "model/vnd.usdz+zip", "bin": "application/octet-stream",
}  # fmt: skip
PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "Unknown, or no longer kept."},
    422: {"model": Problem, "description": "What was asked cannot be."},
}


def add_materials(app: FastAPI, studio: Studio) -> None:
    """Add the API to an application."""

    @app.exception_handler(UserError)
    async def refused(_: Request, error: UserError) -> JSONResponse:
        status = 503 if isinstance(error, Full) else 404 if isinstance(error, Missing) else 422
        headers = {"Retry-After": "30"} if status == 503 else {}
        return JSONResponse({"detail": str(error)}, status, headers)

    app.include_router(jobs(studio))
    app.include_router(materials(studio))
    app.include_router(facts(studio))


def jobs(studio: Studio) -> APIRouter:
    """Asking and watching."""
    router = APIRouter(prefix="/api", tags=["materials"], responses=PROBLEMS)

    @router.post("/materials", status_code=202, responses={503: {"description": "Queue is full."}})
    async def generate(
        ask: Ask,
        request: Request,
        response: Response,
        session: Session = "",
        wait: Annotated[float, Query(ge=0, le=300, description="Seconds to wait for it.")] = 0,
    ) -> dict[str, Any]:
        """Ask for materials: returns a job to watch, or what was made when you `wait` for it.

        Send the `session` of the answer again, as X-RealMat-Session, to list what you made.
        """
        session = session or secrets.token_urlsafe(18)
        job = studio.submit(session, ask, request.client.host if request.client else "")
        view = studio.scheduler.view(job)
        if wait:
            view = await _until_ended(studio, job, wait)
        response.status_code = 200 if view.state == "done" else 202
        return {"session": session, **_job(view)}

    @router.get("/jobs/{job}")
    def look(job: str) -> dict[str, Any]:
        """How far a job is."""
        return _job(studio.scheduler.view(_known(studio, job)))

    @router.get(
        "/jobs/{job}/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    def events(job: str) -> StreamingResponse:
        """Server-sent events with the job whenever it changed, until it has ended."""
        found = _known(studio, job)
        return StreamingResponse(_stream(studio, found), media_type="text/event-stream")

    @router.delete("/jobs/{job}")
    def cancel(job: str) -> dict[str, Any]:
        """Cancel what is not made yet."""
        found = _known(studio, job)
        studio.scheduler.cancel(found)
        return _job(studio.scheduler.view(found))

    return router


def materials(studio: Studio) -> APIRouter:
    """What was made."""
    router = APIRouter(prefix="/api/materials", tags=["materials"], responses=PROBLEMS)

    @router.get("")
    def mine(session: Session = "") -> list[dict[str, Any]]:
        """What your session made, the newest first."""
        return [described(card) for card in studio.shelf.of_session(session)] if session else []

    @router.get("/{material}")
    def one(material: str) -> dict[str, Any]:
        """A material, with the names of its files."""
        return described(studio.shelf.card(material))

    @router.get(
        "/{material}/{file}",
        response_class=Response,
        responses={200: {"content": {kind: {} for kind in sorted(set(TYPES.values()))}}},
    )
    def fetch(material: str, file: FileName, light: Name = "") -> Response:
        """A file of it. `light` names the environment of rendering.png."""
        if file == "rendering.png":
            content = studio.shelf.rendering(material, light)
        else:
            content = studio.shelf.file(material, file)
        headers = {"Cache-Control": "private, max-age=86400, immutable"}
        if not file.endswith((".png", ".bin")):
            category = studio.shelf.card(material).category or "material"
            headers["Content-Disposition"] = f'attachment; filename="realmat-{category}-{file}"'
        return Response(content, media_type=TYPES[file.rpartition(".")[2]], headers=headers)

    return router


def facts(studio: Studio) -> APIRouter:
    """What the server has."""
    router = APIRouter(prefix="/api", tags=["materials"])

    @router.get("/model")
    def model() -> dict[str, Any]:
        """The model that makes the next material."""
        return {**asdict(studio.version), "reinforced": studio.champion.current.has_adapter}

    @router.get("/queue")
    def queue() -> dict[str, int]:
        """How many materials wait to be made."""
        return {"waiting": studio.scheduler.waiting}

    @router.get("/lights")
    def lights() -> list[str]:
        """Names of the environments."""
        return studio.lights

    @router.get("/lights/{name}", response_class=Response, responses=PROBLEMS)
    def light(name: str) -> Response:
        """An environment prepared for real-time shading (see components.core.rendering.prefilter).

        Two uint32 (height, width), then float16: the environment, 5 lobes and irradiance of
        32 x 64, a table of 32 x 32 x 2.
        """
        headers = {"Cache-Control": "max-age=86400"}
        return Response(studio.light_data(name), media_type=TYPES["bin"], headers=headers)

    return router


def described(card: Card) -> dict[str, Any]:
    """A material as JSON."""
    files = [*MAPS, "rendering.png", "material.json", *DOWNLOADS]
    return {**asdict(card), "by": card.by, "files": files}


def _job(view: View) -> dict[str, Any]:
    return {**asdict(view), "made": list(view.made)}


def _known(studio: Studio, job_id: str) -> Job:
    job = studio.scheduler.find(job_id)
    if job is None:
        raise HTTPException(404, "there is no such job (any more)")
    return job


async def _until_ended(studio: Studio, job: Job, seconds: float) -> View:
    # Looks again and again: waiting in threads would leave none for other requests.
    deadline = time.monotonic() + seconds
    while (view := studio.scheduler.view(job)).state not in ENDED and time.monotonic() < deadline:
        await asyncio.sleep(SECONDS)
    return view


async def _stream(studio: Studio, job: Job) -> AsyncIterator[str]:
    seen = -1
    while True:
        view = studio.scheduler.view(job)
        if view.version != seen:
            seen = view.version
            yield f"data: {json.dumps(_job(view))}\n\n"
        if view.state in ENDED:
            return
        await asyncio.sleep(SECONDS)
