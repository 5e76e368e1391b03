"""Variants of one recipe, trained up to `ddpo_lora`, and their rewards in one picture.

All variants write to one output folder, whose store keeps what they have in common: of the
prompts' ablation everything before prompt_selection, of the other everything before ddpo_lora.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import UserError
from components.core.materials.files import write_whole
from pipelines.local import Sources, run_local
from pipelines.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPERS_COUNTS = (5, 30, 100, 150)
PAPERS_PROMPTS = 100
"""Training prompts of the paper's own run, which a recipe's own number stands for."""
CURVES = {
    "train_reward": "training prompts",
    "heldout_reward": "held-out prompts",
    "heldout_gold_reward": "held-out prompts, gold scorer",
}
COMMON = {"heldout_reward": "heldout_common_reward"}
"""Where a history has the second, it stands for the first."""

Settings = list[str]
Run = Callable[[Recipe, Path, Sources], list[dict[str, Any]]]


def prompt_variants(recipe: Recipe, counts: Sequence[int] = ()) -> dict[str, Settings]:
    """Settings by the variant's name; the paper's numbers scaled to the recipe if none is given."""
    selection = recipe.prompt_selection
    scaled = [max(1, round(c * selection.train_prompts / PAPERS_PROMPTS)) for c in PAPERS_COUNTS]
    wanted = sorted(set(counts or scaled))
    if wanted[-1] > selection.candidates:
        raise UserError(
            f"{wanted[-1]} training prompts are more than prompt_selection.candidates = "
            f"{selection.candidates}: raise that with --set, or give fewer with --counts."
        )
    return {f"{n} prompts": [f"prompt_selection.train_prompts={n}"] for n in wanted}


def tv_variants() -> dict[str, Settings]:
    """The reward of the recipe and the one that was trained beside it without total variation."""
    return {
        "with TV": ["ddpo_lora.scorer=reward"],
        "without TV": ["ddpo_lora.scorer=reward_without_tv"],
    }


def run_ablation(
    recipe: str,
    settings: Sequence[str],
    kind: str,
    variants: Mapping[str, Settings],
    output: Path,
    sources: Sources,
    run: Run | None = None,
) -> list[Path]:
    """Train every variant on `sources` and write ablation.json and ablation.png; returns these.

    ablation.json: {"kind", "recipe", "settings", "sources", "variants": {name: `curves`}}; with the
    kind "prompts" `realmat run --ablation` takes it into a report.
    """
    recipes = {name: load_recipe(recipe, [*settings, *own]) for name, own in variants.items()}
    train = run or _train
    found = {name: curves(train(changed, output, sources)) for name, changed in recipes.items()}
    table = output / "ablation.json"
    picture = output / "ablation.png"
    name = load_recipe(recipe, settings).name
    whole = {
        "kind": kind, "recipe": name, "settings": list(settings), "sources": sources.model_dump(),
        "variants": found,
    }  # fmt: skip
    write_whole(table, (json.dumps(whole, indent=2) + "\n").encode())
    figure(found).savefig(picture, dpi=120)
    return [table, picture]


def curves(history: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """(epoch, mean reward) by curve, from the rows of a history.

    Held-out rewards are by the reward with total variation in all variants, also in one that is
    trained on another: scores by two scorers cannot be compared.
    """
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in CURVES}
    for row in history:
        for name, points in found.items():
            value = row.get(COMMON.get(name, name), row.get(name))
            if value is not None:
                points.append((int(row["epoch"]), float(value)))
    return found


def figure(found: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]) -> "Figure":
    """One panel a curve, one line a variant."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, (key, title) in zip(picture.subplots(1, len(CURVES)), CURVES.items(), strict=True):
        for name, lines in found.items():
            if lines[key]:
                axes.plot(*zip(*lines[key], strict=True), marker="o", markersize=3, label=name)
        axes.set(title=title, xlabel="epoch", ylabel="mean score")
    axes.legend()
    return picture


def _train(recipe: Recipe, output: Path, sources: Sources) -> list[dict[str, Any]]:
    (key,) = run_local(recipe, output, sources, until="ddpo_lora")["store"]["ddpo_lora"]
    return history_of(key, output)


def history_of(key: str, output: Path) -> list[dict[str, Any]]:
    """The history of a run; the store has one for each variant trained so far, by its key."""
    file = output / "store" / "ddpo_lora" / key / "history.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
