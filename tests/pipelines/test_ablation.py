"""`realmat ablate`: the right variants, each trained once, curves on the right epochs."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from components.core.errors import UserError
from components.evaluation.ablation import best_variant, read_ablation
from pipelines.ablation import curves, history_of, prompt_variants, run_ablation, tv_variants
from pipelines.cli import main
from pipelines.recipe import Recipe, load_recipe
from tests.pipelines.conftest import realmat


def test_the_papers_numbers_of_prompts_scale_with_the_recipe() -> None:
    assert [*prompt_variants(load_recipe("paper"))] == [
        "5 prompts", "30 prompts", "100 prompts", "150 prompts",
    ]  # fmt: skip
    assert [*prompt_variants(load_recipe("smoke"))] == [
        "1 prompts",
        "2 prompts",
        "8 prompts",
        "12 prompts",
    ]
    with pytest.raises(UserError, match=r"more than prompt_selection\.candidates = 16"):
        prompt_variants(load_recipe("smoke"), [17])


def test_variants_differ_in_one_thing_and_are_drawn_on_their_epochs(tmp_path: Path) -> None:
    trained: list[Recipe] = []

    def run(recipe: Recipe, output: Path) -> list[dict[str, Any]]:
        trained.append(recipe)
        level = float(len(trained))
        return [
            {"epoch": 0, "train_reward": level, "heldout_reward": 1.0},
            {"epoch": 1, "train_reward": level},
            {"epoch": 2, "heldout_reward": 2.0},
        ]

    settings = ["ddpo_lora.epochs=2"]
    table, picture = run_ablation("smoke", settings, "tv", tv_variants(), tmp_path, run)
    assert [recipe.ddpo_lora.scorer for recipe in trained] == ["reward", "reward_without_tv"]
    first, second = (recipe.model_dump() for recipe in trained)
    second["ddpo_lora"]["scorer"] = "reward"
    assert first == second
    whole = json.loads(table.read_text())
    assert (whole["kind"], whole["recipe"], whole["settings"]) == ("tv", "smoke", settings)
    found = whole["variants"]
    assert found["without TV"]["train_reward"] == [[0, 2.0], [1, 2.0]]
    assert found["with TV"]["heldout_reward"] == [[0, 1.0], [2, 2.0]]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_run_takes_only_the_ablation_of_its_recipes_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(recipe: Recipe, output: Path) -> list[dict[str, Any]]:
        return [{"epoch": 0, "heldout_reward": 0.1 * recipe.prompt_selection.train_prompts}]

    variants = prompt_variants(load_recipe("smoke"))
    run_ablation("smoke", [], "prompts", variants, tmp_path / "prompts", run)
    run_ablation("smoke", [], "tv", tv_variants(), tmp_path / "tv", run)
    found = read_ablation(tmp_path / "prompts", "smoke")
    assert [*found["variants"]] == [*variants]
    assert best_variant(found) == (
        "12 prompts (held-out reward 1.200) of 1 prompts, 2 prompts, 8 prompts, 12 prompts"
    )
    for folder, recipe in (("tv", "smoke"), ("prompts", "laptop"), ("nothing", "smoke")):
        arguments = ["run", recipe, "--ablation", str(tmp_path / folder), "--output", "unused"]
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert f"realmat ablate prompts {recipe}" in error
        assert error.count("\n") == 1


def test_a_reports_history_is_found_among_those_of_other_variants(tmp_path: Path) -> None:
    for key, reward in (("a", 0.5), ("b", 0.25)):
        folder = tmp_path / "store" / "ddpo_lora" / key
        folder.mkdir(parents=True)
        (folder / "history.jsonl").write_text(json.dumps({"epoch": 0, "train_reward": reward}))
    assert history_of("b", tmp_path) == [{"epoch": 0, "train_reward": 0.25}]


def test_heldout_curves_are_of_the_scorer_that_all_variants_have() -> None:
    """Rewards by the scorer that was trained on stay on their own panel, the training one."""
    row = {"epoch": 0, "train_reward": 0.9, "heldout_reward": 0.8, "heldout_common_reward": 0.4}
    found = curves([row, {"epoch": 1, "heldout_reward": 0.5}])
    assert found["train_reward"] == [(0, 0.9)]
    assert found["heldout_reward"] == [(0, 0.4), (1, 0.5)]


@pytest.mark.long
def test_an_ablation_of_the_smoke_recipe_from_the_command_to_the_picture(
    smoke: Path, tmp_path: Path
) -> None:
    """It trains what no run has trained yet: here one of two variants, all else is in the store."""
    shutil.copytree(smoke / "store", tmp_path / "out" / "store")
    done = realmat("ablate", "tv", "smoke", "--output", str(tmp_path / "out"), runs=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    table, picture = (tmp_path / "out" / name for name in ("ablation.json", "ablation.png"))
    assert done.stdout.split()[-2:] == [str(table), str(picture)]
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(table.read_text())["variants"]
    first, second = (found[name] for name in ("with TV", "without TV"))
    for lines in (first, second):
        assert [epoch for epoch, _ in lines["train_reward"]] == [0, 1]
        for name in ("heldout_reward", "heldout_gold_reward"):
            assert [epoch for epoch, _ in lines[name]] == [0, 1, 2]
    # The same model, prompts, seeds and lights, judged by the same scorers before any training.
    for name in ("heldout_reward", "heldout_gold_reward"):
        assert first[name][0] == second[name][0]
    assert first["train_reward"][0] != second["train_reward"][0]
    runs = (tmp_path / "out" / "store").glob("*/*/manifest.json")
    stages = Counter(run.parent.parent.name for run in runs)
    assert stages["ddpo_lora"] == 2
    assert stages["reward_training"] == stages["prompt_selection"] == 1


@pytest.mark.parametrize(
    "arguments", [["tv", "smoke", "--counts", "3"], ["prompts", "smoke", "--counts", "3,x"]]
)
def test_wrong_counts_are_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ablate", *arguments]) == 2
    assert "--counts" in capsys.readouterr().err
