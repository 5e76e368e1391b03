"""The comparison of ways to learn: what it compares on."""

import numpy as np

from components.core.materials.material import CATEGORIES
from tests.benchmarks.ddpo_learning import draw


def test_prompts_are_of_all_categories_and_held_out_ones_are_others() -> None:
    rng = np.random.default_rng(0)
    train, heldout = draw(32, rng, heldout=False), draw(32, rng, heldout=True)
    assert len(train) == len(set(train)) == 32
    assert {prompt.split(",")[0] for prompt in train} == set(CATEGORIES)
    assert not set(train) & set(heldout)
