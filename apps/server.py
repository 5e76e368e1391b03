"""One web server: the demo at /, the study at /study, their API at /api, health and counters."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from apps.gate import Gate
from apps.graceful import GracefulServer, end_heartbeats, gradio_of
from apps.limits import BURST, RATE, Limits
from apps.logs import log_as_json
from apps.materials.api import add_materials
from apps.materials.champion import Champion
from apps.materials.kept import is_remote, kept_models
from apps.materials.page import HEAD, PAGES, build
from apps.materials.studio import Studio
from apps.refusals import Problem, answer_in_words
from apps.study.place import Place, owner_token
from apps.study.service import Service
from apps.study.web import add_study
from apps.telemetry import Telemetry, Watched
from components.core.errors import UserError

if TYPE_CHECKING:
    from apps.study.database import Database

SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
GRACE = 60
"""Seconds that running requests have to end after SIGTERM."""


@dataclass(frozen=True)
class Study:
    """The collaborators of the study."""

    database: Database
    place: Place
    key: str
    owner_token: str = ""

    @classmethod
    def open(cls, place: Place) -> Study:
        """The study of a place, with what the environment says."""
        return cls(place.database(), place, place.key(), owner_token())


def create_app(
    studio: Studio | None,
    study: Study | None = None,
    *,
    rate: float = RATE,
) -> FastAPI:
    """The application around a studio, whose model is loaded already, and a study."""
    telemetry = Telemetry()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        if studio is not None:
            studio.start()
        yield
        if studio is not None:
            studio.stop()

    app = FastAPI(
        title="RealMat", docs_url=None, redoc_url=None, openapi_url="/openapi.json", lifespan=life,
        responses={422: {"model": Problem}},
    )  # fmt: skip
    answer_in_words(app)
    add_health(app, studio, study, telemetry)
    if study is not None:
        service = Service(study.database, study.key)
        add_study(app, service, study.place.media, study.owner_token, telemetry.votes.inc)
    if studio is not None:
        scheduler = studio.scheduler
        telemetry.watch_queue(lambda: scheduler.waiting, lambda: scheduler.running)
        studio.scheduler.observe = telemetry.generation.observe
        add_materials(app, studio)
        app.mount("/assets/materials", StaticFiles(directory=PAGES), name="materials-assets")
        app = gr.mount_gradio_app(
            app, build(studio), path="/", theme=theme_of_page(), css_paths=[PAGES / "demo.css"],
            head=HEAD, show_error=True, footer_links=[], run_history=False,
        )  # fmt: skip
        close_gradio(app)
    app.add_middleware(Limits, rate=rate, burst=rate * BURST / RATE)
    app.add_middleware(Watched, telemetry=telemetry)
    return app


def theme_of_page() -> gr.themes.Base:
    """Gradio's soft theme with system fonts, for the page loads nothing from other hosts, and with
    labels and buttons dark enough to be read by everybody (WCAG 1.4.3)."""
    theme = gr.themes.Soft(font=SYSTEM_FONTS, font_mono=("ui-monospace", "monospace"))
    return theme.set(
        block_title_text_color="*primary_700", block_label_text_color="*primary_700",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        block_label_background_fill_dark="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
    )  # fmt: skip


def close_gradio(app: FastAPI) -> None:
    """Leave of Gradio what the page and its clients need, and let it refuse in words too."""
    inner = gradio_of(app)
    assert inner is not None
    functions = inner.get_blocks().fns
    names = {f.api_name for f in functions.values() if f.api_visibility == "public"}
    direct = {number for number, f in functions.items() if not f.queue}
    inner.add_middleware(Gate, functions=set(functions), names=names, direct=direct)
    answer_in_words(inner)


def add_health(
    app: FastAPI, studio: Studio | None, study: Study | None, telemetry: Telemetry
) -> None:
    """/healthz, /readyz and /metrics."""

    @app.get("/healthz", tags=["health"])
    def healthz() -> dict[str, str]:
        """Answers while the process lives: which model it has."""
        if studio is None:
            return {"status": "ok"}
        version = studio.version
        return {
            "status": "ok", "model": version.name, "version": version.version,
            "alias": version.alias,
        }  # fmt: skip

    @app.get("/readyz", tags=["health"])
    def readyz() -> JSONResponse:
        """Whether requests can be served: the model samples and the database answers."""
        wrong = ""
        if study is not None and not study.database.answers():
            wrong = "the database does not answer"
        elif studio is not None and not studio.scheduler.works:
            wrong = "nothing is sampled any more"
        return JSONResponse({"status": wrong or "ready"}, 503 if wrong else 200)

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(telemetry.page(), media_type=CONTENT_TYPE_LATEST)


def serve(
    host: str, port: int, model: str, place: Place, *, root_path: str = "", rate: float = RATE,
    rendering_size: int = 384, meanwhile: str = "",
) -> None:  # fmt: skip
    """Load the model and serve until interrupted (`realmat serve`); "" serves the study alone.

    `meanwhile` is served as long as the registry has no `model`.
    """
    study = Study.open(place)
    folder = place.folder / "materials"
    studio = open_studio(model, folder, rendering_size, meanwhile) if model else None
    what = str(studio.version) if studio else "the study alone"
    print(f"RealMat: {what} at http://{host}:{port}{root_path}", flush=True)
    for one in Service(study.database, study.key).studies():
        print(f"  study: http://{host}:{port}{root_path}/study/{one['name']}", flush=True)
    log_as_json(sys.stderr)
    app = create_app(studio, study, rate=rate)
    config = uvicorn.Config(
        app, host=host, port=port, root_path=root_path, log_config=None, access_log=False,
        proxy_headers=True, timeout_graceful_shutdown=GRACE, server_header=False,
    )  # fmt: skip
    GracefulServer(config, lambda: end_heartbeats(app)).run()


def open_studio(model: str, folder: Path, size: int, meanwhile: str = "") -> Studio:
    """The studio of a model, which follows its alias if it has one."""
    from components.core.rendering.environments import load_environments
    from components.core.rendering.scene import Renderer

    renderer = Renderer(
        size=size, spp=48, mesh_resolution=size // 2, displacement=0.06, wrap="mirror"
    )
    return Studio.open(open_champion(model, meanwhile), renderer, load_environments(""), folder)


def open_champion(model: str, meanwhile: str = "") -> Champion:
    """The model, or `meanwhile` until there is one."""
    from components.core.generator import MaterialGenerator, locate, registered_version

    registered = model.startswith("models:/")
    find = kept_models().find if registered and is_remote() else locate

    def load() -> MaterialGenerator:
        return MaterialGenerator.load(model, find=find)

    try:
        first = load()
    except UserError as error:
        if not (meanwhile and registered and "@" in model):
            raise
        first = MaterialGenerator.load(meanwhile)
        print(f"RealMat: {error}. Meanwhile {first.version} is served.", flush=True)
    if not (registered and "@" in model):
        return Champion(first)
    return Champion(first, load, lambda: registered_version(model))
