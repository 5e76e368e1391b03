"""The model card of a generator, written from the run that made it: figures, data, use, limits.

A figure that the run has not measured has no line. Model cards: M. Mitchell et al., "Model cards
for model reporting" (2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from components.registration.provenance import origins, recipe_lines

Json = Mapping[str, Any]


def generator_card(
    results: Json,
    details: Json,
    origin: Json,
    rules: Sequence[Json],
    made: Mapping[str, str],
    licence: str,
    *,
    clip: str = "",
    recipe: Json = MappingProxyType({}),
    given: Json = MappingProxyType({}),
) -> str:
    """Markdown.

    Args:
        results: evaluation.json; details: details.json beside it.
        origin: origin.json of the reward: {"labels": {"annotators", …}, "training": …}.
        rules: the gate's table.
        made: how and where it was made: recipe, versions, seed, hardware, MLflow's run.
        clip, recipe, given: see `provenance.origins`.
    """
    sampling = details.get("sampling", {})
    steps = f"{sampling.get('steps')} steps with guidance {sampling.get('guidance')}"
    lines = [
        "# Text to material",
        "",
        "An SDXL that makes four material maps (colour, height, roughness, metalness) as one 2×2",
        "grid from a text, fine-tuned on synthetic maps and then, with a LoRA, by reinforcement",
        f"learning on how real its renderings look. Sampled in {steps}, as it was evaluated.",
        f"Licence of these weights: {licence}, unless those of the base model or data say more.",
        "",
        "## Measured on held-out prompts, before and after reinforcement learning",
        "",
        *_measures(results, details),
        "",
        "## Promotion",
        "",
        *(
            f"- {'passed' if rule['passed'] else 'not passed'}: {rule['name']} {rule['value']} "
            f"(demanded: {rule['limit']})"
            for rule in rules
        ),
        "",
        "## Data",
        "",
        *_data(origin, details),
        *origins(details, recipe, given, clip),
        "",
        "## Made by",
        "",
        *(f"- {name}: {value}" for name, value in made.items() if value),
        "",
        "## Use and limits",
        "",
        "For drafts of materials in rendering, games and design, looked at by a person before use.",
        "Not for measuring real surfaces. Precise descriptions of single parts are not followed",
        "(section 7 of the paper), four maps share one image's resolution, and kinds of material",
        "that are not in its data come out as those that are. The reward knows the images it was",
        "trained on: what it likes and people do not may have been learnt too, which is why the",
        "gold scorer and, better, a study with people stand beside it.",
    ]
    settings = list(recipe_lines(recipe))
    if settings:
        lines += ["", "## Recipe", "", *settings]
    return "\n".join(lines) + "\n"


def _measures(results: Json, details: Json) -> Iterator[str]:
    for key, name in (("before_after", "realism"), ("gold", "realism by the gold scorer")):
        if key in results:
            low, high = results[key]["ci95"]
            of = f", {results[key]['pairs']} pairs" if "pairs" in results[key] else ""
            change = f"{results[key]['difference']:+.4f}"
            yield f"- {name}: {change}, 95 % interval [{low:+.4f}, {high:+.4f}]{of}"
    for key, name, shown in (
        ("clip_score", "CLIP score (100 × cosine)", "{:.1f}"),
        ("diversity", "diversity", "{:.3f}"),
        ("recognised", "renderings whose category CLIP names rightly", "{:.0%}"),
        ("seam", "step across the tile's border (tileable: 1 or less)", "{:.2f}"),
    ):
        found = results.get(key) or details.get(key)
        if found:
            before, after = (shown.format(found[side]) for side in ("before", "after"))
            yield f"- {name}: {before} → {after}"


def _data(origin: Json, details: Json) -> Iterator[str]:
    labels = origin.get("labels", {})
    for name, found in labels.get("sets", {}).items():
        yield (
            f"- {name}: {found['images']} images, of which {found['judged']} judged by annotators "
            f"and {found['realistic']} taken as realistic"
        )
    people = labels.get("annotators", {})
    if people:
        yield f"- judged by: {', '.join(f'{who} ({count})' for who, count in people.items())}"
    data = details.get("data", {})
    for key, title in (("licences", "licences of the materials"), ("authors", "their authors")):
        if data.get(key):
            counts = (f"{name} ({count} grids)" for name, count in data[key].items())
            yield f"- {title}: {', '.join(counts)}"
