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
from pipelines.local import Sources
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

    def run(recipe: Recipe, output: Path, sources: Sources) -> list[dict[str, Any]]:
        trained.append(recipe)
        assert sources == given
        level = float(len(trained))
        return [
            {"epoch": 0, "train_reward": level, "heldout_reward": 1.0},
            {"epoch": 1, "train_reward": level},
            {"epoch": 2, "heldout_reward": 2.0},
        ]

    settings, given = ["ddpo_lora.epochs=2"], Sources(photos="s3://bucket/photos")
    table, picture = run_ablation("smoke", settings, "tv", tv_variants(), tmp_path, given, run)
    assert [recipe.ddpo_lora.scorer for recipe in trained] == ["reward", "reward_without_tv"]
    first, second = (recipe.model_dump() for recipe in trained)
    second["ddpo_lora"]["scorer"] = "reward"
    assert first == second
    whole = json.loads(table.read_text())
    assert (whole["kind"], whole["recipe"], whole["settings"]) == ("tv", "smoke", settings)
    assert whole["sources"] == given.model_dump()
    found = whole["variants"]
    assert found["without TV"]["train_reward"] == [[0, 2.0], [1, 2.0]]
    assert found["with TV"]["heldout_reward"] == [[0, 1.0], [2, 2.0]]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_run_takes_only_the_ablation_of_its_recipes_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(recipe: Recipe, output: Path, sources: Sources) -> list[dict[str, Any]]:
        return [{"epoch": 0, "heldout_reward": 0.1 * recipe.prompt_selection.train_prompts}]

    variants = prompt_variants(load_recipe("smoke"))
    none = Sources()
    run_ablation("smoke", [], "prompts", variants, tmp_path / "prompts", none, run)
    run_ablation("smoke", [], "tv", tv_variants(), tmp_path / "tv", none, run)
    found = read_ablation(tmp_path / "prompts", "smoke", none.model_dump())
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


def trainings(monkeypatch: pytest.MonkeyPatch, output: Path) -> list[Sources]:
    """Replaces runs by one that notes its sources and leaves a history."""
    seen: list[Sources] = []

    def run_local(
        recipe: Recipe, output: Path, sources: Sources, until: str = "", ablation: object = None
    ) -> dict[str, Any]:
        seen.append(sources)
        return {"store": {"ddpo_lora": ["key"]}}

    for module in ("pipelines.ablation", "pipelines.local"):
        monkeypatch.setattr(f"{module}.run_local", run_local)
    folder = output / "store" / "ddpo_lora" / "key"
    folder.mkdir(parents=True)
    (folder / "history.jsonl").write_text(json.dumps({"epoch": 0, "heldout_reward": 0.5}))
    return seen


def test_variants_are_trained_on_the_sources_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe's own lights among them; a run with others refuses what was measured."""
    out, photos = tmp_path / "out", tmp_path / "photos"
    seen = trainings(monkeypatch, out)
    lights = ["--set", "shared.environments=polyhaven://7"]
    given = ["--photos", str(photos), "--photos", "s3://bucket/more", "--materials", "s3://m"]
    given += ["--labels", "label-studio://host/3", "--preferences", "s3://v"]
    given += ["--examples", "s3://e"]
    ablate = ["ablate", "prompts", "smoke", "--counts", "2,4", "--output", str(out)]
    assert main([*ablate, *lights, *given]) == 0
    run = ["run", "smoke", "--output", str(out), "--ablation", str(out)]
    assert main([*run, *lights, *given]) == 0
    expected = Sources(
        photos=f"{photos},s3://bucket/more",
        examples="s3://e",
        environments="polyhaven://7",
        materials="s3://m",
        labels="label-studio://host/3",
        preferences="s3://v",
    )
    assert seen == [expected] * 3
    capsys.readouterr()
    for changed in (given, [*lights, *given, "--environments", "s3://other"], [*lights]):
        assert main([*run, *changed]) == 2
        error = capsys.readouterr().err
        assert "ablation.json: expected trainings with the run's" in error
        assert error.count("\n") == 1
    assert len(seen) == 3


def test_an_ablation_that_does_not_say_what_it_was_trained_on_is_refused(tmp_path: Path) -> None:
    whole = {"kind": "prompts", "recipe": "smoke", "settings": [], "variants": {"2 prompts": {
        "train_reward": [[0, 0.5]], "heldout_reward": [[0, 0.5]]}}}  # fmt: skip
    file = tmp_path / "ablation.json"
    file.write_text(json.dumps(whole))
    with pytest.raises(UserError, match="expected what `realmat ablate prompts smoke` writes"):
        read_ablation(tmp_path, "smoke", Sources().model_dump())
    file.write_text(json.dumps({**whole, "sources": Sources().model_dump()}))
    assert [*read_ablation(tmp_path, "smoke", Sources().model_dump())["variants"]] == ["2 prompts"]


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
