"""One web server: the demo at /, the study at /study, their health at /healthz and /readyz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from starlette.responses import Response

from apps.demo import CSS, Demo, build
from apps.limits import BURST, RATE, Limits
from apps.study.place import Place, owner_token
from apps.study.service import Service
from apps.study.web import add_study

if TYPE_CHECKING:
    from apps.study.database import Database

SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")


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


def create_app(demo: Demo | None, study: Study | None = None, *, rate: float = RATE) -> FastAPI:
    """The application around a demo, whose model is loaded already, and a study."""
    app = FastAPI(title="RealMat", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    registry = CollectorRegistry()
    votes = Counter("realmat_votes", "Votes that were acknowledged.", registry=registry)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """Answers while the process lives: which model it has."""
        if demo is None:
            return {"status": "ok"}
        version = demo.generator.version
        return {
            "status": "ok",
            "model": version.name,
            "version": version.version,
            "alias": version.alias,
        }

    @app.get("/readyz")
    def readyz() -> JSONResponse:
        """Whether requests can be served: the model is loaded and the database answers."""
        ready = study is None or study.database.answers()
        status = {"status": "ready" if ready else "the database does not answer"}
        return JSONResponse(status, 200 if ready else 503)

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    if study is not None:
        service = Service(study.database, study.key)
        add_study(app, service, study.place.media, study.owner_token, votes.inc)
    if demo is not None:
        # System fonts: the page loads nothing from other hosts.
        theme = gr.themes.Soft(font=SYSTEM_FONTS, font_mono=("ui-monospace", "monospace"))
        app = gr.mount_gradio_app(
            app, build(demo), path="/", theme=theme, css=CSS, show_error=True, footer_links=[]
        )
    app.add_middleware(Limits, rate=rate, burst=rate * BURST / RATE)
    return app


def serve(
    host: str, port: int, model: str, place: Place, *, root_path: str = "", rate: float = RATE
) -> None:
    """Load the model and serve until interrupted (`realmat serve`); "" serves the study alone."""
    study = Study.open(place)
    demo = _demo(model) if model else None
    what = str(demo.generator.version) if demo else "the study alone"
    print(f"RealMat: {what} at http://{host}:{port}", flush=True)
    for one in Service(study.database, study.key).studies():
        print(f"  study: http://{host}:{port}{root_path}/study/{one['name']}", flush=True)
    app = create_app(demo, study, rate=rate)
    uvicorn.run(
        app, host=host, port=port, root_path=root_path, log_level="warning", proxy_headers=True,
        timeout_graceful_shutdown=30, server_header=False,
    )  # fmt: skip


def _demo(model: str) -> Demo:
    from components.core.generator import MaterialGenerator
    from components.core.rendering.environments import load_environments
    from components.core.rendering.scene import Renderer

    return Demo(
        generator=MaterialGenerator.load(model),
        renderer=Renderer(size=384, spp=48, mesh_resolution=192, displacement=0.06, wrap="mirror"),
        environments=load_environments(""),
    )
