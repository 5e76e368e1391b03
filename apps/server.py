"""One web server: the demo at /, its health at /healthz."""

from __future__ import annotations

import gradio as gr
import uvicorn
from fastapi import FastAPI

from apps.demo import CSS, Demo, build

SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")


def create_app(demo: Demo) -> FastAPI:
    """The application around a demo, whose model is loaded already."""
    app = FastAPI(title="RealMat", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """Answers once the model is loaded: which one it is."""
        version = demo.generator.version
        return {
            "status": "ok",
            "model": version.name,
            "version": version.version,
            "alias": version.alias,
        }

    # System fonts: the page loads nothing from other hosts.
    theme = gr.themes.Soft(font=SYSTEM_FONTS, font_mono=("ui-monospace", "monospace"))
    return gr.mount_gradio_app(
        app, build(demo), path="/", theme=theme, css=CSS, show_error=True, footer_links=[]
    )


def serve(host: str, port: int, model: str) -> None:
    """Load the model and serve until interrupted (`realmat serve`)."""
    from components.core.generator import MaterialGenerator
    from components.core.rendering.environments import load_environments
    from components.core.rendering.scene import Renderer

    demo = Demo(
        generator=MaterialGenerator.load(model),
        renderer=Renderer(size=384, spp=48, mesh_resolution=192, displacement=0.06, wrap="mirror"),
        environments=load_environments(""),
    )
    print(f"RealMat: {demo.generator.version} at http://{host}:{port}", flush=True)
    uvicorn.run(create_app(demo), host=host, port=port, log_level="warning")
