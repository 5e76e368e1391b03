"""`realmat ablate`: reinforcement learning again, with one thing changed (figures 7b and 8)."""

import argparse
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from pipelines.arguments import add_sources, sources_of
from pipelines.runs import runs_folder

KINDS = {
    "prompts": "5, 30, 100 and 150 training prompts of the paper's 100, scaled to the recipe",
    "tv": "the reward trained with and without total variation",
}


def add(commands: Any) -> None:
    """Adds the command."""
    ablate = commands.add_parser(
        "ablate",
        help="train again with other numbers of prompts, or without total variation",
        description="Runs a recipe up to ddpo_lora once for each variant, sharing all stages that "
        "they have in common, and plots their rewards.",
        epilog="example: realmat ablate prompts laptop --counts 4,16",
    )
    ablate.add_argument("kind", choices=KINDS, help="; ".join(map(": ".join, KINDS.items())))
    ablate.add_argument(
        "recipe", metavar="RECIPE", nargs="?", default="laptop", help="a name or a .toml file"
    )
    ablate.add_argument(
        "--counts", metavar="N,N,…", default="", help="numbers of training prompts (prompts only)"
    )
    add_sources(ablate)
    ablate.add_argument("--output", metavar="DIR", help="default: runs/ablate-KIND-RECIPE")
    ablate.add_argument(
        "--set", dest="settings", metavar="STAGE.KEY=VALUE", action="append", default=[],
        help="change one setting of the recipe in all variants; may be given again",
    )  # fmt: skip
    ablate.set_defaults(call=_ablate)


def _ablate(given: argparse.Namespace) -> int:
    from pipelines.ablation import prompt_variants, run_ablation, tv_variants
    from pipelines.recipe import load_recipe

    recipe = load_recipe(given.recipe, given.settings)
    if given.counts and given.kind != "prompts":
        raise UserError("--counts belongs to `realmat ablate prompts`: leave it out here.")
    if given.kind == "prompts":
        variants = prompt_variants(recipe, _counts(given.counts))
    else:
        variants = tv_variants()
    default = runs_folder() / f"ablate-{given.kind}-{recipe.name}"
    output = Path(given.output) if given.output else default
    sources = sources_of(given, recipe)
    for file in run_ablation(given.recipe, given.settings, given.kind, variants, output, sources):
        print(file)
    if given.kind == "prompts":
        print(
            f"in a run's report: realmat run {given.recipe} --ablation {output}, with the same "
            "sources"
        )
    return 0


def _counts(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")] if text else []
    except ValueError:
        counts = [0]
    if any(count < 1 for count in counts):
        raise UserError(f"--counts {text} is no list of positive numbers: give one such as 5,30.")
    return counts
