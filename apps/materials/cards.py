"""HTML of the demo: cards of materials, the preview's frame, the history, how far a request is.

Whatever somebody typed is escaped here; addresses are relative.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from apps.materials.scheduler import View
from apps.materials.shelf import Card

MAPS = ("albedo", "height", "roughness", "metallic", "normal")
SHOWN = 24
DOWNLOADS = (
    ("material.zip", "ZIP"), ("plane.glb", "GLB plane"), ("sphere.glb", "GLB sphere"),
    ("materialx.zip", "MaterialX"), ("material.usdz", "USDZ"), ("material.json", "JSON"),
)  # fmt: skip


def cards(materials: Sequence[Card], light: str, *, paired: bool = False) -> str:
    """The materials of a request; `paired` puts those before and after RL side by side."""
    if not materials:
        return '<p class="empty">Your materials will appear here.</p>'
    kind = "materials paired" if paired else "materials"
    return f'<div class="{kind}">{"".join(card(one, light) for one in materials)}</div>'


def card(material: Card, light: str) -> str:
    """One material: its rendering, its facts, its maps, and what to do with it."""
    caption, base = escape(material.prompt), f"api/materials/{material.id}"
    score = "" if material.score is None else f"<b>realism {material.score:.3f}</b> "
    seam = "" if material.seam is None else _seam(material.seam)
    kind = "variation, seed" if material.variation else "seed"
    facts = f"{score}{kind} {material.seed}{seam}"
    maps = "".join(
        f'<figure><img alt="{name}" src="{base}/{name}.png" loading="lazy">'
        f"<figcaption>{name}</figcaption></figure>"
        for name in MAPS
    )
    rendering = f"{base}/rendering.png?light={quote(light or material.light)}"
    return (
        f'<article data-material="{material.id}">'
        f'<img class="rendering" alt="{caption}, rendered" src="{escape(rendering)}">'
        f'<p><span>{caption}</span><span class="facts">{facts}</span></p>'
        f'<p class="by">{escape(material.by)}</p>'
        f'<div class="actions">{_button("show", "View in 3D", material)}'
        f"{_button('like', 'More like this', material)}"
        f"{_button('select', 'Use this seed', material)}</div>"
        f'<div class="maps">{maps}</div></article>'
    )


def _seam(value: float) -> str:
    """How strong the step across the border is beside the strong steps inside."""
    return (
        f'<span title="1 or less: no seam shows when it is laid as tiles">, seam {value:.2f}</span>'
    )


def _button(event: str, words: str, material: Card) -> str:
    """`show` is the script's own; the other events go to the server."""
    attribute = "data-show" if event == "show" else f'data-event="{event}"'
    caption = escape(f"{words}: {material.prompt}, seed {material.seed}")
    return (
        f'<button type="button" {attribute} data-material="{material.id}" '
        f'aria-label="{caption}">{words}</button>'
    )


def history(materials: Sequence[Card]) -> str:
    """What this browser made so far, the newest first."""
    if not materials:
        return ""
    items = "".join(
        f'<button type="button" data-show data-material="{one.id}" '
        f'title="{escape(one.prompt)}, seed {one.seed}">'
        f'<img alt="{escape(one.prompt)}, seed {one.seed}" '
        f'src="api/materials/{one.id}/rendering.png" loading="lazy"></button>'
        for one in materials[:SHOWN]
    )
    return f'<h2>History</h2><div class="history">{items}</div>'


def waiting(view: View | None) -> str:
    """How far a request is: its place in the queue, then its denoising steps."""
    if view is None or view.state == "done":
        return '<p class="status" role="status"></p>'
    if view.state == "failed":
        return f'<p class="status failed" role="alert">{escape(view.error)}</p>'
    if view.state == "cancelled":
        return '<p class="status" role="status">Cancelled.</p>'
    if view.state == "waiting":
        words = f"In the queue: {view.ahead} before you." if view.ahead else "Next in the queue."
    elif view.step < view.steps:
        words = f"Denoising: step {view.step} of {view.steps}."
    else:
        words = f"Rendering: {len(view.made)} of {view.total}." if view.steps else "Starting."
    return (
        f'<p class="status" role="status">{words}</p>'
        f'<progress aria-label="Generation" max="1" value="{view.progress:.3f}"></progress>'
    )


def preview(lights: Sequence[str]) -> str:
    """The frame of the 3D preview; empty until a material is chosen."""
    options = "".join(f'<option value="{escape(n)}">{escape(n)}</option>' for n in lights)
    downloads = "".join(
        f'<a data-file="{name}" download href="#">{words}</a>' for name, words in DOWNLOADS
    )
    return f"""
<section class="preview" aria-label="3D preview" hidden>
  <canvas tabindex="0" role="img" aria-label="The material in 3D. Arrow keys turn it."></canvas>
  <div class="panel">
    <p class="chosen"></p>
    <label>Shape <select data-set="shape">
      <option value="plane">Plane</option><option value="sphere">Sphere</option></select></label>
    <label>Light <select data-set="light">{options}</select></label>
    <label>Turn the light
      <input type="range" data-set="turn" min="0" max="360" step="1" value="0"></label>
    <label>Displacement
      <input type="range" data-set="relief" min="0" max="0.2" step="0.005" value="0.06"></label>
    <label><input type="checkbox" data-set="repeat"> Repeat 2×2</label>
    <p class="downloads" aria-label="Downloads">{downloads}</p>
    <p class="fault" role="alert"></p>
  </div>
</section>"""
