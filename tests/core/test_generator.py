"""What a user types becomes what the model knows; a missing model is explained."""

from pathlib import Path

import numpy as np
import pytest

from components.core.diffusion.sampler import Variation
from components.core.errors import UserError
from components.core.generator import (
    MAX_PROMPT,
    SETTINGS,
    MaterialGenerator,
    category_of,
    check_prompt,
    locate,
    seed_of,
    seed_words,
    training_prompt,
)
from tests.evaluation.micro import micro_model


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        ("Old red BRICK wall", "brick, old red brick wall"),
        ("brick, old wall", "brick, old wall"),
        ("polished stones", "stone, polished stones"),
        ("a wooden floor", "wood, a wooden floor"),
        ("a single leaf", "leaves, a single leaf"),
        ("something unheard of", "something unheard of"),
        ("grassland", "grassland"),
    ],
)
def test_prompts_get_the_form_of_training(typed: str, given: str) -> None:
    assert training_prompt(typed) == given


def test_leaves_are_not_a_plural_to_be_cut() -> None:
    assert category_of("autumn leaves") == "leaves"
    assert category_of("grass") == "grass"


def test_prompts_are_checked() -> None:
    assert check_prompt("  red \n brick ") == "red brick"
    assert len(check_prompt("x" * MAX_PROMPT)) == MAX_PROMPT
    for wrong in ("", " \n\t", "x" * 10_000):
        with pytest.raises(UserError):
            check_prompt(wrong)


def test_a_folder_without_a_model_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model"):
        locate(str(tmp_path))
    (tmp_path / SETTINGS).write_text("{broken")
    with pytest.raises(UserError, match="not valid JSON"):
        locate(str(tmp_path))


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> MaterialGenerator:
    folder = tmp_path_factory.mktemp("model") / "plain"
    micro_model().save(folder)
    return MaterialGenerator.load(str(folder), device="cpu")


def test_a_diffusers_folder_generates_and_a_seed_is_a_material(
    generator: MaterialGenerator,
) -> None:
    alone = generator.generate(["grey stone"], [1], steps=2)[0]
    other, together = generator.generate(["red brick", "grey stone"], [0, 1], steps=2)
    # Another batch size rounds differently, far below one of 256 levels.
    np.testing.assert_allclose(alone.albedo, together.albedo, atol=1e-3)
    assert not np.allclose(alone.albedo, other.albedo)
    assert (alone.category, alone.caption) == ("stone", "grey stone")
    assert alone.metadata["seed"] == 1
    assert alone.metadata["model"] == "plain"


def test_tileable_samples_depend_on_their_seed_alone(generator: MaterialGenerator) -> None:
    first, second = (
        generator.generate(["grey stone"], [1], tileable=True, steps=2)[0] for _ in range(2)
    )
    np.testing.assert_array_equal(first.albedo, second.albedo)
    plain = generator.generate(["grey stone"], [1], steps=2)[0]
    assert not np.allclose(first.albedo, plain.albedo)


def test_a_model_without_a_scorer_says_so(generator: MaterialGenerator) -> None:
    with pytest.raises(UserError, match="no realism scorer"):
        generator.realism(np.zeros((1, 8, 8, 3), np.uint8))


def test_seeds_survive_the_sidecar(generator: MaterialGenerator) -> None:
    near = Variation(9, of=Variation(4, of=1, strength=0.5), strength=0.25)
    assert seed_of(seed_words(near)) == near
    assert seed_of(seed_words(7)) == 7
    (made,) = generator.generate(["grey stone"], [near], steps=2)
    assert seed_of(made.metadata) == near
    assert made.metadata["seed"] == 9


def test_progress_counts_the_steps_of_all_batches(generator: MaterialGenerator) -> None:
    seen: list[tuple[int, int]] = []
    generator.generate(
        ["grey stone"] * 9, list(range(9)), steps=2, progress=lambda d, n: seen.append((d, n))
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_progress_raises_ends_the_sampling(generator: MaterialGenerator) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, steps: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        generator.generate(["grey stone"], [1], steps=2, progress=stop)
