"""The procedural library: what every category promises to the training data."""

from __future__ import annotations

import numpy as np
import pytest

from components.core.materials.library.catalogue import PAINTERS, captions, sample
from components.core.materials.material import CATEGORIES, FloatArray, Material

SEEDS = (0, 1, 2)
WORDS: dict[str, tuple[str, ...]] = {
    "flower": ("flower", "petal", "blossom"),
    "leaves": ("leaves", "leaf", "foliage"),
    "paper": ("paper", "cardboard", "parchment"),
    "rock": ("rock", "cliff", "boulder"),
    "stone": ("stone",),
    "wood": ("wood", "plank", "parquet", "bark", "timber"),
}
"""Words that name a category; a category not listed is named by itself."""


def _materials(category: str, size: int = 64) -> list[Material]:
    return [sample(category, np.random.default_rng(seed), size) for seed in SEEDS]


def test_there_is_a_painter_for_every_category() -> None:
    assert tuple(sorted(PAINTERS)) == tuple(sorted(CATEGORIES))


@pytest.mark.parametrize("category", CATEGORIES)
def test_materials_are_metallic_only_where_they_should_be(category: str) -> None:
    for material in _materials(category):
        assert material.size == (64, 64)
        assert material.category == category
        if category == "metal":
            assert material.metallic.mean() > 0.4
        else:
            assert not material.metallic.any()


def _jumps(values: FloatArray) -> FloatArray:
    """Mean step from each column to the next one, the last being the step across the seam."""
    return np.asarray(np.abs(values - np.roll(values, -1, axis=1)).mean(axis=0))


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_seam_is_no_rougher_than_the_inside(category: str) -> None:
    for material in _materials(category):
        maps = [*np.moveaxis(material.albedo, -1, 0), material.height, material.roughness]
        for values in maps:
            for turned in (values, values.T):
                jumps = _jumps(turned)
                assert jumps[-1] <= 1.3 * jumps[:-1].max() + 1e-3, material.caption


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_seed_decides_the_material(category: str) -> None:
    first, again, other = (sample(category, np.random.default_rng(s), 32) for s in (5, 5, 6))
    assert first.caption == again.caption
    for name, values in first.maps().items():
        assert np.array_equal(values, again.maps()[name]), name
    assert np.abs(first.albedo - other.albedo).mean() > 0.01


@pytest.mark.parametrize("category", CATEGORIES)
def test_captions_name_the_category_briefly_and_differ(category: str) -> None:
    drawn = captions(category, np.random.default_rng(0), 60)
    assert len(set(drawn)) == 60
    for caption in drawn:
        assert any(word in caption for word in WORDS.get(category, (category,))), caption
        assert 3 <= len(caption.split()) <= 9, caption
        assert caption == " ".join(caption.lower().split())


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_caption_of_a_material_is_that_of_its_style(category: str) -> None:
    painter = PAINTERS[category]
    style = painter.describe(np.random.default_rng(3))
    assert painter.paint(style, np.random.default_rng(4), 32).caption == style.caption


@pytest.mark.parametrize("category", CATEGORIES)
def test_colour_and_roughness_follow_the_relief(category: str) -> None:
    """The maps share masks: they correlate within a tile far more than unrelated fields do."""
    strongest = []
    for seed in range(5):
        material = sample(category, np.random.default_rng(seed), 64)
        grey = material.albedo.mean(-1).ravel()
        table = np.corrcoef([grey, material.height.ravel(), material.roughness.ravel()])
        strongest.append(np.abs(table[np.triu_indices(3, 1)]).max())
    assert np.median(strongest) > 0.3


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_category_has_different_colours(category: str) -> None:
    means = [
        sample(category, np.random.default_rng(seed), 16).albedo.mean((0, 1)) for seed in range(12)
    ]
    assert np.std(means, axis=0).mean() > 0.05


@pytest.mark.parametrize("category", ["brick", "flower", "leather", "wood"])
def test_the_layout_does_not_depend_on_the_resolution(category: str) -> None:
    painter = PAINTERS[category]
    style = painter.describe(np.random.default_rng(1))
    small, large = (painter.paint(style, np.random.default_rng(2), s) for s in (32, 64))
    assert np.allclose(small.albedo.mean((0, 1)), large.albedo.mean((0, 1)), atol=0.08)


def test_painting_anew_keeps_the_words_alone() -> None:
    for category in CATEGORIES:
        one, other = (
            sample(category, np.random.default_rng(3), 32, painting=np.random.default_rng(seed))
            for seed in range(2)
        )
        assert one.caption == other.caption
        assert not np.array_equal(one.height, other.height)


def test_captions_refuses_more_than_the_grammar_holds() -> None:
    with pytest.raises(ValueError, match="brick has no"):
        captions("brick", np.random.default_rng(0), 5000)


def test_few_pieces_of_a_style_repeat_and_differ_from_each_other() -> None:
    painter = PAINTERS["stone"]
    heights: dict[str, set[bytes]] = {}
    for seed in range(60):
        drawn = sample("stone", np.random.default_rng(seed), 32, pieces=2)
        heights.setdefault(drawn.caption, set()).add(drawn.height.tobytes())
    assert max(len(pieces) for pieces in heights.values()) == 2
    assert len(heights) > 10  # styles stay free
    assert painter.describe(np.random.default_rng(0)).caption in heights
