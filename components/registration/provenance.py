"""Where a model's parts and data are from and under which licences, in lines of its card.

What a run was not told has no licence here: photographs and environments of a folder carry none,
and saying so is all that can be said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlparse

Json = Mapping[str, Any]
OWN = "Apache-2.0"
THEIRS = "under the licence of its source, which this run was not told"
CATALOGUES = {"polyhaven": "Poly Haven, CC0-1.0"}
"""Those that have environments."""
BASES = {
    "small": f"small, trained by this project on its own procedural library, {OWN}",
    "stabilityai/stable-diffusion-xl-base-1.0":
        "stabilityai/stable-diffusion-xl-base-1.0 (Stability AI, CreativeML Open RAIL++-M, whose "
        "limits of use pass on to these weights)",
}  # fmt: skip
CLIPS = {
    "small": f"small, trained by this project on its own renderings, {OWN}",
    "openai": "{} (OpenAI, MIT)",
}
"""By name, and of open_clip's "architecture|tag" by the tag."""


def origins(details: Json, recipe: Json, given: Json, clip: str) -> Iterator[str]:
    """Lines of the card's data.

    Args:
        details: details.json of the evaluation.
        recipe: its sections, {} where it is not known; `given` the URIs the run was started with.
        clip: URI of the CLIP model that reward and measures stand on.
    """
    data = details.get("data", {})
    if "photographs" in data:
        yield f"- photographs: {_photographs(data['photographs'], str(given.get('photos', '')))}"
    if "environments" in data:
        yield f"- environments: {_environments(data['environments'])}"
    base = recipe.get("sdxl_finetune", {}).get("base_model", "")
    if base:
        yield f"- base model: {BASES.get(base, f'{base}, {THEIRS}')}"
    if clip:
        _, _, tag = clip.partition("|")
        known = CLIPS.get(tag or clip, f"{{}}, {THEIRS}")
        yield f"- CLIP: {known.format(clip)}"


def recipe_lines(recipe: Json) -> Iterator[str]:
    """Every setting, a line for each stage; where it ran is no part of how the model was made."""
    for stage, section in recipe.items():
        if isinstance(section, Mapping) and stage != "cluster":
            settings = ", ".join(f"{key} = {value}" for key, value in section.items())
            yield f"- {stage}: {settings}"


def _photographs(counts: Json, uri: str) -> str:
    kept, embedded = counts.get("kept", 0), counts.get("embedded", 0)
    if embedded:
        return f"none; {embedded} renderings by this project stand in for them, {OWN}"
    return f"{kept}{f' from {uri}' if uri else ''}, each {THEIRS}"


def _environments(found: Json) -> str:
    count, uri = found["count"], str(found["uri"])
    if not uri:
        return f"{count}, made by this project, {OWN}"
    return f"{count} from {uri}, {CATALOGUES.get(urlparse(uri).scheme, f'each {THEIRS}')}"
