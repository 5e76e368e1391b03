"""The screen of the demo: what to make on the left, what was made on the right.

Controls and their state are Gradio's; the 3D preview, its downloads and the history are plain HTML
that `pages/preview.js` brings to life. Every address is relative, for servers behind a prefix.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from apps.materials.ask import MAX_COUNT, MAX_SEED, Ask, Like
from apps.materials.cards import cards, history, preview, waiting
from apps.materials.scheduler import ENDED, Job
from apps.materials.script import add_script, address
from apps.materials.studio import Studio
from components.core.errors import UserError
from components.core.generator import MAX_PROMPT

PAGES = Path(__file__).parent / "pages"
HEAD = '<script type="module" src="assets/materials/preview.js"></script>'
EXAMPLES = (
    "old red brick wall", "glazed turquoise ceramic tiles", "woven blue fabric",
    "yellow flowers in grass", "polished grey granite", "dry summer grass", "muddy ground",
    "worn brown leather", "autumn leaves", "white marble with golden veins", "rusty metal plate",
    "crumpled paper", "wet river pebbles", "cracked rock", "mossy grey stone",
    "dark oak wood planks",
)  # fmt: skip
"""One for each of the 16 categories."""
LISTENER = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-event]');
  if (button) trigger(button.dataset.event, {material: button.dataset.material});
});
"""
SECONDS = 0.5
STRENGTH = 0.35
WATCHERS = 96
"""People whose screens are updated at once. More than the scheduler takes (`scheduler.QUEUE`), so
that whoever waits does so in its fair queue, and sees the place there."""
SESSION = re.compile(r"[A-Za-z0-9_-]{1,100}")


def build(studio: Studio) -> gr.Blocks:
    """The screen around a studio."""
    with gr.Blocks(title="RealMat", analytics_enabled=False, fill_width=True) as blocks:
        session = gr.BrowserState("", storage_key="realmat-session")
        job = gr.State("")
        gr.HTML("<header><h1>RealMat</h1><p>Realistic PBR materials from text</p></header>")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                controls = _controls(studio)
                with gr.Row():
                    make = gr.Button("Generate", variant="primary")
                    stop = gr.Button("Cancel", interactive=False)
                gr.Examples(
                    [[text] for text in EXAMPLES], inputs=[controls[0]], label="Examples",
                    examples_per_page=len(EXAMPLES),
                )  # fmt: skip
            with gr.Column(scale=3, min_width=300):
                status = gr.HTML(waiting(None), elem_id="status")
                result = gr.HTML(cards([], ""), js_on_load=LISTENER, elem_id="result")
                gr.HTML(preview(studio.lights), js_on_load=LISTENER, elem_id="preview")
                made = gr.HTML(history([]), elem_id="history")
        version = gr.HTML(_version(studio))
        _wire(studio, session, job, controls, make, stop, (status, result, made, version), blocks)
        add_script(studio, WATCHERS)
    return blocks.queue(max_size=WATCHERS, default_concurrency_limit=WATCHERS)


def _controls(studio: Studio) -> list[Any]:
    prompt = gr.Textbox(
        label="Material", placeholder=EXAMPLES[0], value=EXAMPLES[0], max_length=MAX_PROMPT, lines=2
    )
    count = gr.Slider(1, MAX_COUNT, value=2, step=1, label="Variations")
    with gr.Row():
        seed = gr.Number(
            value=0, minimum=0, maximum=MAX_SEED, precision=0, label="Seed", min_width=120
        )
        free = gr.Checkbox(value=True, label="New seed each time", min_width=120)
    tileable = gr.Checkbox(value=True, label="Tileable")
    compare = gr.Checkbox(
        value=False, label="Compare with the model before RL", interactive=True,
        visible=studio.champion.current.has_adapter,
    )  # fmt: skip
    light = gr.Dropdown(studio.lights, value=studio.lights[0], label="Light of the renderings")
    return [prompt, count, seed, free, tileable, compare, light]


def _wire(
    studio: Studio, session: Any, job: Any, controls: list[Any], make: Any, stop: Any,
    shown: tuple[Any, ...], blocks: gr.Blocks,
) -> None:  # fmt: skip
    prompt, _, seed, free, *_, light = controls
    status, result, made, version = shown
    outputs = [session, job, seed, stop, status, result, made, version]

    def watch(kept: Any, ask: Ask, address: str) -> Iterator[list[Any]]:
        token = known_session(kept) or secrets.token_urlsafe(18)
        found = studio.submit(token, ask, address)
        first = gr.update() if ask.like else ask.seed
        keep, busy = gr.update(), gr.update(interactive=True)
        view, seen = studio.scheduler.view(found), -1
        try:
            while view.state not in ENDED:
                if len(view.made) != seen:
                    seen = len(view.made)
                    keep = cards(_cards(studio, view.made), ask.light, paired=ask.compare)
                yield [token, found.id, first, busy, waiting(view), keep, gr.update(), gr.update()]
                keep = gr.update()
                view = studio.scheduler.wait(found, view.version, SECONDS)
        finally:
            # Whoever closes the page in the middle leaves the queue to the others.
            studio.scheduler.cancel(found)
        yield [
            token, "", first, gr.update(interactive=False), waiting(view),
            cards(_cards(studio, view.made), ask.light, paired=ask.compare),
            history(studio.shelf.of_session(token)), _version(studio),
        ]  # fmt: skip

    def on_generate(request: gr.Request, kept: Any, *values: Any) -> Iterator[list[Any]]:
        yield from _spoken(watch, kept, lambda: _asked(values), request)

    def more_like(
        event: gr.EventData, request: gr.Request, kept: Any, *values: Any
    ) -> Iterator[list[Any]]:
        def ask() -> Ask:
            name = str(event._data["material"])
            words = studio.shelf.words(name)
            like = Like(material=name, strength=STRENGTH)
            count, chosen = int(values[1]), values[-1]
            return Ask(
                prompt=words["prompt"], count=count, tileable=words["tileable"], light=chosen,
                like=like,
            )  # fmt: skip

        yield from _spoken(watch, kept, ask, request)

    def reuse(event: gr.EventData) -> list[Any]:
        card = studio.shelf.card(str(event._data["material"]))
        return [card.prompt, card.seed, False]

    def relight(kept: Any, chosen: str) -> Any:
        token = known_session(kept)
        return relit(studio, token, chosen) if token else gr.update()

    def cancel(job_id: str) -> None:
        found: Job | None = studio.scheduler.find(job_id)
        if found is not None:
            studio.scheduler.cancel(found)

    def visit(kept: Any) -> list[Any]:
        token = known_session(kept)
        own = studio.shelf.of_session(token) if token else []
        return [history(own), _version(studio)]

    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    inputs = [session, *controls]
    gr.on([make.click, prompt.submit], on_generate, inputs, outputs, **hidden)
    result.like(more_like, inputs, outputs, **hidden)
    result.select(reuse, None, [prompt, seed, free], queue=False, **hidden)
    light.change(relight, [session, light], [result], queue=False, **hidden)
    stop.click(cancel, [job], None, queue=False, **hidden)
    blocks.load(visit, [session], [made, version], queue=False, **hidden)


def known_session(kept: Any) -> str:
    """The session that a browser has kept; "" for whatever else it sends, which is any JSON."""
    return kept if isinstance(kept, str) and SESSION.fullmatch(kept) else ""


def _spoken(watch: Any, kept: Any, ask: Any, request: gr.Request) -> Iterator[list[Any]]:
    """What cannot be made is said in words on the screen."""
    try:
        yield from watch(kept, ask(), address(request))
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise gr.Error("these settings cannot be used: reload the page", duration=8) from error


def _asked(values: tuple[Any, ...]) -> Ask:
    prompt, count, seed, free, tileable, compare, light = values
    ask = Ask(
        prompt=prompt, count=count, seed=None if free else seed, tileable=tileable,
        compare=compare, light=light,
    )  # fmt: skip
    # Chosen here, so that the page can show it and use it again.
    return ask if ask.seed is not None else ask.model_copy(update={"seed": fresh_seed()})


def fresh_seed() -> int:
    """A seed that is short enough to be read out."""
    return secrets.randbelow(1_000_000)


def relit(studio: Studio, session_token: str, light: str) -> Any:
    """The latest request's cards under another light, rendered as the browser asks for them."""
    jobs = [job for job in studio.scheduler.of_session(session_token) if job.made]
    if not jobs:
        return gr.update()
    view = studio.scheduler.view(jobs[-1])
    paired = len({sample.adapted for sample in jobs[-1].samples}) == 2
    return cards(_cards(studio, view.made), light, paired=paired)


def _cards(studio: Studio, made: tuple[str, ...]) -> list[Any]:
    return [studio.shelf.card(name) for name in made]


def _version(studio: Studio) -> str:
    return f'<footer class="version">Model: {escape(str(studio.version))}</footer>'
