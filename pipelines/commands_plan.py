"""`realmat plan`: what a recipe's training needs, to book machines with."""

import argparse
import json
import sys
from typing import Any

from components.core.errors import UserError
from pipelines.arguments import number


def add(commands: Any) -> None:
    """Adds the command."""
    plan = commands.add_parser(
        "plan",
        help="memory, time and GPU hours of a recipe's training",
        description="Tells for each training stage the memory of a GPU by ZeRO stage, without and "
        "with gradient checkpointing (+gc), the largest micro-batch that fits, and time and GPU "
        "hours from counted arithmetic. No GPU is needed and nothing is downloaded.",
        epilog="example: realmat plan paper --gpus 24 --gpu-type A100-80",
    )
    plan.add_argument("recipe", metavar="RECIPE", help="a name or a .toml file")
    plan.add_argument("--gpus", metavar="N", type=number(1, 100_000), required=True)
    plan.add_argument(
        "--gpu-type", metavar="T", required=True, help="such as A100-80, H100, H200, L40S, RTX4090"
    )
    plan.add_argument(
        "--utilisation", metavar="SHARE", type=float, default=0.4,
        help="share of the GPU's dense bf16 rate that is attained, recomputation included (0.4)",
    )  # fmt: skip
    plan.add_argument(
        "--set", dest="settings", metavar="STAGE.KEY=VALUE", action="append", default=[],
        help="change one setting of the recipe; may be given again",
    )  # fmt: skip
    plan.add_argument("--json", action="store_true", help="one JSON object")
    plan.set_defaults(call=_plan)


def _plan(given: argparse.Namespace) -> int:
    from pipelines.plan.gpus import gpu_of
    from pipelines.recipe import load_recipe

    if not 0.0 < given.utilisation <= 1.0:
        raise UserError(
            f"--utilisation {given.utilisation} is no share: give a number above 0, up to 1."
        )
    gpu, recipe = gpu_of(given.gpu_type), load_recipe(given.recipe, given.settings)

    from pipelines.plan.booking import book
    from pipelines.plan.model import describe
    from pipelines.plan.table import NOTES, text, values
    from pipelines.plan.work import finetuning, reinforcement

    model = describe(recipe.sdxl_finetune.base_model)
    print("realmat plan: counting, up to a minute", file=sys.stderr)
    works = (finetuning(recipe.sdxl_finetune, model), reinforcement(recipe.ddpo_lora, model))
    bookings = [book(work, gpu, given.gpus, given.utilisation) for work in works]
    if given.json:
        stages = [values(booking) for booking in bookings]
        words = {"recipe": recipe.name, "utilisation": given.utilisation, "stages": stages}
        print(json.dumps(words))
        return 0
    for booking in bookings:
        print(*text(booking), sep="\n", end="\n\n")
    print(*NOTES, sep="\n")
    return 0
