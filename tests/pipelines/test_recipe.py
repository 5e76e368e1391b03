"""Recipes: the paper's numbers, shared keys, and sentences for every mistake."""

from pathlib import Path
from typing import Any

import pytest

from components.core.catalogues.address import parse
from components.core.errors import UserError
from components.synthetic_data.plan import Plan
from pipelines.arguments import sources_of
from pipelines.cli import parser
from pipelines.realmat import pipeline_of
from pipelines.recipe import STAGES, build_recipe, load_recipe, names

# Section of the paper, key of the recipe, value in the paper.
PAPER: list[tuple[str, str, Any]] = [
    ("4.1", "synthetic_data.base_materials", 8615),
    ("4.1", "synthetic_data.variations", 126_000),
    ("5", "synthetic_data.map_size", 512),  # grids of 1024 x 1024
    ("4.2", "sdxl_finetune.base_model", "stabilityai/stable-diffusion-xl-base-1.0"),
    ("5", "sdxl_finetune.world_size", 24),  # A100s
    ("5", "sdxl_finetune.learning_rate", 2e-6),
    ("5", "sdxl_finetune.batch_size", 120),
    ("5", "sdxl_finetune.iterations", 400_000),
    ("4.1", "material_sampling.materials", 2000),
    ("4.1", "material_sampling.environments_per_material", 10),
    ("4.1", "annotation_sync.items_per_set", 2000),
    ("4.1", "realism_labels.photograph_threshold", 0.2),
    ("4.1", "realism_labels.generated_threshold", 0.4),
    ("5", "realism_labels.learning_rate", 1e-3),
    ("5", "realism_labels.batch_size", 64),
    ("5", "reward_training.learning_rate", 1e-3),
    ("5", "reward_training.batch_size", 64),
    ("5", "reward_training.mse_weight", 1),
    ("5", "reward_training.tv_weight", 100),
    ("4.3", "prompt_selection.candidates", 1000),
    ("4.3", "prompt_selection.samples_per_prompt", 10),
    ("4.3", "prompt_selection.train_prompts", 100),
    ("5", "ddpo_lora.steps", 50),
    ("5", "ddpo_lora.world_size", 32),  # A100s
    ("5", "ddpo_lora.batch_size", 128),
    ("5", "ddpo_lora.forward_batch", 4),
    ("5", "ddpo_lora.accumulation", 2),
    ("5", "ddpo_lora.rank", 4),
    ("5", "ddpo_lora.epochs", 110),
    ("5", "ddpo_lora.learning_rate", 3e-4),
]


@pytest.mark.parametrize(("section", "key", "value"), PAPER)
def test_the_paper_recipe_has_the_papers_number(section: str, key: str, value: Any) -> None:
    stage, name = key.split(".")
    assert getattr(getattr(load_recipe("paper"), stage), name) == value, f"paper, section {section}"


def test_the_paper_renders_under_200_lights_of_poly_haven() -> None:
    """Section 5; they are the default of the compiled pipeline and of a run on this machine."""
    recipe = load_recipe("paper")
    assert recipe.shared.environments == "polyhaven://200"
    assert parse(recipe.shared.environments)[0] == 200
    default = pipeline_of(recipe).component_spec.inputs["environments"].default
    assert default == "polyhaven://200"
    given = parser().parse_args(["run", "paper"])
    assert sources_of(given, recipe).environments == "polyhaven://200"
    given = parser().parse_args(["run", "paper", "--environments", "s3://lights"])
    assert sources_of(given, recipe).environments == "s3://lights"


def test_the_paper_searches_800_000_photographs() -> None:
    assert load_recipe("paper").photo_retrieval.per_category * 16 == 800_000


def test_the_laptop_shows_the_small_model_what_it_has_learnt() -> None:
    """Base materials as the library paints them, none varied."""
    config = load_recipe("laptop").synthetic_data
    plan = Plan(config, [])
    assert {plan.place(number).variation for number in range(config.variations)} == {0}


def test_recipes_differ_in_data_only() -> None:
    assert {"smoke", "laptop", "paper"} <= set(names())
    assert {load_recipe(name).name for name in names()} == set(names())


def test_shared_keys_reach_every_section_that_knows_them() -> None:
    recipe = build_recipe(
        {
            "shared": {"seed": 7, "clip": "x", "rendering": {"size": 32}},
            "reward_training": {"clip": "y"},
            "evaluation": {"rendering": {"spp": 3}, "seed": 5},
        },
        source="r.toml",
    )
    assert recipe.photo_retrieval.clip == "x"
    assert recipe.reward_training.clip == "y"
    assert recipe.ddpo_lora.rendering.size == 32
    assert (recipe.evaluation.rendering.size, recipe.evaluation.rendering.spp) == (32, 3)
    seeds = {stage: getattr(recipe, stage).seed for stage in STAGES}
    assert seeds["evaluation"] == 5
    assert len(set(seeds.values())) == len(STAGES)
    assert build_recipe({"shared": {"seed": 8}}, "r").ddpo_lora.seed != seeds["ddpo_lora"]


def test_settings_change_single_values() -> None:
    recipe = load_recipe(
        "smoke",
        ["ddpo_lora.epochs=5", "annotation_sync.project=My project", "shared.rendering.spp=2"],
    )
    assert recipe.ddpo_lora.epochs == 5
    assert recipe.annotation_sync.project == "My project"
    assert recipe.evaluation.rendering.spp == 2


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (["ddpo_lora.epoch=3"], ["'ddpo_lora.epoch'", "'ddpo_lora.epochs'"]),
        (["dppo_lora.epochs=3"], ["'dppo_lora'", "'ddpo_lora'"]),
        (["ddpo_lora.rendering.sice=3"], ["'ddpo_lora.rendering.size'"]),
        (["ddpo_lora.epochs=many"], ["ddpo_lora.epochs", "integer", '"many"']),
        (["ddpo_lora.epochs=0"], ["ddpo_lora.epochs", "greater than or equal to 1"]),
        (["ddpo_lora.batch_size=3"], ["ddpo_lora", "multiple of forward_batch"]),
        (["shared.seed=-1"], ["seed", "greater than or equal to 0"]),
        (["ddpo_lora=3"], ["ddpo_lora"]),
        (["ddpo_lora.epochs.x=3"], ["ddpo_lora.epochs.x=3"]),
        (["epochs"], ["--set epochs", "stage.key=value"]),
        (["cluster.resources.ddpo.gpus=1"], ["cluster.resources.ddpo", "'ddpo_lora'"]),
    ],
)
def test_a_wrong_setting_is_named(settings: list[str], parts: list[str]) -> None:
    with pytest.raises(UserError) as error:
        load_recipe("smoke", settings)
    for part in parts:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_recipe_is_told_with_the_closest_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'labtop', did you mean 'laptop'"):
        load_recipe("labtop")
    with pytest.raises(UserError, match="no recipe"):
        load_recipe(str(tmp_path / "x.toml"))


@pytest.mark.parametrize("content", [b"[shared", b"\xff\xfe", b"shared = 3"])
def test_a_damaged_recipe_is_a_user_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"mine\.toml"):
        load_recipe(str(path))


def test_a_recipe_of_ones_own_is_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[shared]\nseed = 3\n")
    assert load_recipe(str(path)).name == "mine"
