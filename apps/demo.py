"""The demo: a prompt in, materials out, with their maps, a rendering and a realism score.

`Demo` does the work and knows nothing of the screen; `build` lays out the screen around it.
"""

from __future__ import annotations

import base64
import io
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Protocol

import gradio as gr
import numpy as np
import numpy.typing as npt

from components.core.errors import UserError
from components.core.generator import MAX_PROMPT, check_prompt
from components.core.materials.files import encoded_maps, sidecar
from components.core.materials.material import Material
from components.core.materials.pixels import png_8
from components.core.rendering.batch import SrgbRenderer
from components.core.rendering.environments import Environment

MAX_COUNT = 4
MAX_SEED = 2**31 - 1
KEEP_SECONDS = 3600
EXAMPLES = (
    "old red brick wall", "rusty metal plate", "mossy grey stone", "dark oak wood planks",
    "white marble with golden veins", "woven blue fabric",
)  # fmt: skip
CSS = (Path(__file__).parent / "demo.css").read_text("utf-8")


class Generator(Protocol):
    """What the demo asks of `components.core.generator.MaterialGenerator`."""

    version: Any

    def generate(
        self, prompts: Sequence[str], seeds: Sequence[int], *, tileable: bool
    ) -> list[Material]: ...

    def realism(self, images_nhwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True)
class Demo:
    """The collaborators of the demo and the folder where ZIP files wait to be fetched."""

    generator: Generator
    renderer: SrgbRenderer
    environments: Sequence[Environment]
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="realmat-demo-")))

    def make(
        self, prompt: str, count: int, seed: int, tileable: bool, environment: str
    ) -> tuple[str, Path]:
        """HTML of the materials and a ZIP of their maps; UserError for what cannot be made."""
        prompt = check_prompt(prompt)
        if not 1 <= int(count) <= MAX_COUNT:
            raise UserError(f"{count} materials were asked for: choose from 1 to {MAX_COUNT}")
        if not 0 <= int(seed) <= MAX_SEED - MAX_COUNT:
            raise UserError(f"the seed {seed} is out of range: choose from 0 to {MAX_SEED}")
        light = next((e for e in self.environments if e.name == environment), None)
        if light is None:
            raise UserError(f"there is no light called '{environment}': choose one of the list")
        seeds = list(range(int(seed), int(seed) + int(count)))
        materials = self.generator.generate([prompt] * len(seeds), seeds, tileable=tileable)
        images = np.stack(
            [self.renderer.render_srgb(m, light, rotation=0.0, seed=0) for m in materials]
        )
        cards = [
            card(material, image, score, seed)
            for material, image, score, seed in zip(
                materials, images, self._scores(images), seeds, strict=True
            )
        ]
        return f'<div class="materials">{"".join(cards)}</div>', self._zip(materials, seeds)

    def _scores(self, images: npt.NDArray[np.uint8]) -> Sequence[float | None]:
        try:
            return [float(score) for score in self.generator.realism(images)]
        except UserError:  # a model without a scorer still generates
            return [None] * len(images)

    def _zip(self, materials: Sequence[Material], seeds: Sequence[int]) -> Path:
        self._forget_old()
        file = self.folder / f"realmat-{seeds[0]}-{time.time_ns()}.zip"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for material, seed in zip(materials, seeds, strict=True):
                for name, content in encoded_maps(material).items():
                    archive.writestr(f"seed-{seed}/{name}", content)
                archive.writestr(f"seed-{seed}/material.json", sidecar(material))
        file.write_bytes(buffer.getvalue())
        return file

    def _forget_old(self) -> None:
        for file in self.folder.glob("*.zip"):
            if time.time() - file.stat().st_mtime > KEEP_SECONDS:
                file.unlink(missing_ok=True)


def card(
    material: Material, rendering: npt.NDArray[np.uint8], score: float | None, seed: int
) -> str:
    """One material as HTML: the rendering, its score, its maps."""
    caption = escape(material.caption)
    pictures = {name.removesuffix(".png"): png for name, png in _browser_maps(material).items()}
    maps = "".join(
        f'<figure><img alt="{name}" src="{_image(png)}"><figcaption>{name}</figcaption></figure>'
        for name, png in pictures.items()
    )
    realism = "" if score is None else f"<b>realism {score:.3f}</b>"
    picture = _image(png_8((rendering / 255.0).astype(np.float32)))
    return (
        f'<article><img class="rendering" alt="{caption}, rendered" src="{picture}">'
        f'<p><span>{caption}</span><span class="facts">{realism} seed {seed}</span></p>'
        f'<div class="maps">{maps}</div></article>'
    )


def _browser_maps(material: Material) -> dict[str, bytes]:
    """The maps with 8 bits each: not every browser shows 16."""
    return {**encoded_maps(material), "height.png": png_8(material.height)}


def _image(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def build(demo: Demo) -> gr.Blocks:
    """The screen: what to make on the left, what was made on the right; one at a time."""
    names = [environment.name for environment in demo.environments]
    with gr.Blocks(
        title="RealMat", analytics_enabled=False, delete_cache=(KEEP_SECONDS, KEEP_SECONDS)
    ) as blocks:
        gr.HTML("<header><h1>RealMat</h1><p>Realistic PBR materials from text</p></header>")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                prompt = gr.Textbox(
                    label="Material",
                    placeholder=EXAMPLES[0],
                    value=EXAMPLES[0],
                    max_length=MAX_PROMPT,
                    lines=2,
                )
                count = gr.Slider(1, MAX_COUNT, value=2, step=1, label="How many")
                seed = gr.Number(value=0, minimum=0, maximum=MAX_SEED, precision=0, label="Seed")
                tileable = gr.Checkbox(value=True, label="Tileable")
                light = gr.Dropdown(names, value=names[0], label="Light")
                button = gr.Button("Generate", variant="primary")
                download = gr.DownloadButton("Download ZIP", visible=False)
                gr.Examples([[example] for example in EXAMPLES], inputs=[prompt])
            with gr.Column(scale=3, min_width=300):
                result = gr.HTML('<p class="empty">Your materials will appear here.</p>')
        gr.HTML(f'<footer class="version">Model: {escape(str(demo.generator.version))}</footer>')

        def generate(*values: Any) -> tuple[str, Any]:
            try:
                html, file = demo.make(*values)
            except UserError as error:
                raise gr.Error(str(error), print_exception=False) from error
            return html, gr.DownloadButton(value=str(file), visible=True)

        gr.on(
            [button.click, prompt.submit],
            generate,
            [prompt, count, seed, tileable, light],
            [result, download],
            concurrency_limit=1,
            concurrency_id="generator",
            api_name="generate",
        )
    return blocks.queue(max_size=16, default_concurrency_limit=1)
