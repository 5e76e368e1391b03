"""What gradio_client calls: generate, list, download; the same as the HTTP API.

A client's session is its own: it lists what it made itself, and whoever knows the id of a material
may download it, as over HTTP.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

import gradio as gr
from pydantic import ValidationError

from apps.materials.api import FileName, described
from apps.materials.ask import Ask
from apps.materials.scheduler import ENDED
from apps.materials.studio import Studio
from components.core.errors import UserError

FILES: tuple[str, ...] = get_args(FileName)
SECONDS = 1.0
"""Between two looks at a job."""


def add_script(studio: Studio, watchers: int) -> None:
    """Add the three to the blocks being built; so many clients may wait at once."""

    def generate(
        request: gr.Request, prompt: str, count: int = 1, seed: int = 0, tileable: bool = True,
        light: str = "",
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Generate materials; each names its id, seed, version, realism score and files."""
        with in_words():
            ask = Ask(prompt=prompt, count=count, seed=seed, tileable=tileable, light=light)
            job = studio.submit(session_of(request), ask, address(request))
        view = studio.scheduler.view(job)
        while view.state not in ENDED:
            view = studio.scheduler.wait(job, view.version, SECONDS)
        if view.state != "done":
            raise gr.Error(view.error or "cancelled", print_exception=False)
        return [described(studio.shelf.card(name)) for name in view.made]

    def list_materials(request: gr.Request) -> list[dict[str, Any]]:
        """What this client made, the newest first."""
        return [described(card) for card in studio.shelf.of_session(session_of(request))]

    def download(material: str, file: str) -> dict[str, str]:
        """A file of a material: its name, and its content in base64."""
        with in_words():
            if file not in FILES or not isinstance(material, str):
                raise UserError(f"there is no such file: choose one of {', '.join(FILES)}")
            content = (
                studio.shelf.rendering(material, "")
                if file == "rendering.png"
                else studio.shelf.file(material, file)
            )
        return {"name": file, "content": base64.b64encode(content).decode()}

    gr.api(generate, api_name="generate", concurrency_limit=watchers)
    gr.api(list_materials, api_name="list")
    gr.api(download, api_name="download")


def session_of(request: gr.Request) -> str:
    """The session of a client, which nobody else's page or script has."""
    return f"script-{request.session_hash}"


def address(request: gr.Request) -> str:
    """Where a request comes from, "" if that is not known."""
    client = request.client
    return str(client.host) if client else ""


@contextmanager
def in_words() -> Iterator[None]:
    """What cannot be done is said in words."""
    try:
        yield
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
    except ValidationError as error:
        raise gr.Error(error.errors()[0]["msg"], print_exception=False) from error
