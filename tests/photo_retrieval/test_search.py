"""The nearest-neighbour search on features made by hand."""

import numpy as np
import pytest

from components.photo_retrieval import search as module
from components.photo_retrieval.examples import Examples
from components.photo_retrieval.queries import Queries
from components.photo_retrieval.search import Hit, search, without_duplicates
from tests.photo_retrieval.structured import vectors

NOTHING = np.zeros((0, 3), np.float32)
CATEGORIES = np.eye(3, dtype=np.float32)[:2]


def unit(*rows: tuple[float, float, float]) -> np.ndarray:
    features = np.array(rows, np.float32)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def find(
    features: np.ndarray,
    others: np.ndarray = NOTHING,
    examples: Examples | None = None,
    texts: np.ndarray = CATEGORIES,
    **options: float,
) -> list[Hit]:
    settings = {"depth": 10, "per_category": 10, "duplicate_similarity": 0.9999, **options}
    given = examples or Examples.none(texts.shape[1])
    queries = Queries.of(features, texts, given)
    return search(features, queries, others, **settings)  # type: ignore[arg-type]


def test_an_image_found_twice_goes_to_its_nearest_category_once() -> None:
    hits = find(unit((1, 0.2, 0), (0.2, 1, 0), (0.6, 0.5, 0)))
    assert {hit.item: hit.category for hit in hits} == {0: 0, 1: 1, 2: 0}
    assert len(hits) == 3


def test_the_best_of_each_category_are_kept_in_order() -> None:
    features = unit((1, 0, 0.5), (1, 0, 0.1), (1, 0, 0.9), (0, 1, 0.3))
    hits = find(features, per_category=2)
    assert [(hit.category, hit.item) for hit in hits] == [(0, 1), (0, 0), (1, 3)]
    assert hits[0].score > hits[1].score


def test_depth_limits_what_a_category_finds() -> None:
    features = unit((1, 0, 0.1), (1, 0, 0.2), (1, 0, 0.3), (0, 1, 0))
    assert {hit.item for hit in find(features, depth=1)} == {0, 3}


def test_near_duplicates_leave_the_best_of_each_cluster() -> None:
    features = unit((1, 0, 0.100), (1, 0, 0.101), (1, 0, 0.102), (1, 0, 0.6))
    assert {hit.item for hit in find(features, duplicate_similarity=0.999)} == {0, 3}


@pytest.mark.parametrize("large", [100, 10**6])
def test_planted_duplicates_are_found_among_many_as_among_few(
    large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of 500 images has two copies, which differ a little; the best of the three is kept."""
    monkeypatch.setattr(module, "LARGE", large)
    monkeypatch.setattr(module, "BLOCK", 512)
    rng = np.random.default_rng(3)
    images = vectors(4000, 64)
    copies = np.repeat(images[:500], 2, axis=0) + 0.002 * rng.normal(size=(1000, 64))
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)
    features = np.concatenate([images, copies]).astype(np.float16)
    order = rng.permutation(len(features))
    hits = [Hit(int(item), 0, 1.0 - rank / 1e4) for rank, item in enumerate(order)]
    kept = without_duplicates(hits, features, 0.999)
    family = np.concatenate([np.arange(4000), np.repeat(np.arange(500), 2)])
    first = {}
    for item in order.tolist():
        first.setdefault(family[item], item)
    assert [hit.item for hit in kept] == [i for i in order.tolist() if first[family[i]] == i]


def test_images_nearer_to_something_else_are_left_out() -> None:
    features = unit((1, 0, 0.2), (0.5, 0, 1), (0, 1, 0))
    other = np.array([[0, 0, 1]], np.float32)
    assert {hit.item for hit in find(features, other)} == {0, 2}
    # Item 1 lies at 0.447 from its category and at 0.894 from the other text.
    assert {hit.item for hit in find(features, other, other_margin=0.44)} == {0, 2}
    assert {hit.item for hit in find(features, other, other_margin=0.45)} == {0, 1, 2}


def world(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(features, texts, what the images of each of four groups have in common).

    As in CLIP's space, all images share one direction, texts another, so that every two images are
    nearer to each other than any image to a text. Groups 0 and 1 lie near the texts of their
    categories; group 2 belongs to category 1 too, whose text does not know it; group 3 is other
    things. 50 images each.
    """
    rng = np.random.default_rng(seed)
    own = np.eye(16)[4:8]
    cone, text_cone = np.eye(16)[0], np.eye(16)[1]
    images = np.concatenate(
        [2 * cone + own[group] + rng.normal(0, 0.1, (50, 16)) for group in range(4)]
    )
    texts = np.stack([2 * text_cone + 0.8 * own[category] for category in range(2)])
    unit_of = lambda x: (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)  # noqa: E731
    return unit_of(images), unit_of(texts), unit_of(2 * cone + own)


def groups(hits: list[Hit], category: int) -> list[int]:
    return [hit.item // 50 for hit in hits if hit.category == category]


def test_an_example_finds_what_no_text_finds() -> None:
    features, texts, means = world()
    options = {"texts": texts, "depth": 50, "per_category": 100}
    by_text = find(features, np.zeros((0, 16), np.float32), **options)  # type: ignore[arg-type]
    assert groups(by_text, 1).count(2) < 5
    example = Examples(means[2:3], np.array([1]), ("tile/a.png",))
    both = find(features, np.zeros((0, 16), np.float32), example, **options)  # type: ignore[arg-type]
    # What the text finds stays, though every image is nearer to the example than to any text.
    assert groups(both, 0).count(0) == groups(by_text, 0).count(0) > 45
    assert groups(both, 1).count(1) > 45
    assert groups(both, 1).count(2) > 45
    assert not {0, 3} & set(groups(both, 1))
    assert {hit.example for hit in both if hit.item // 50 == 2} == {"tile/a.png"}
    assert {hit.example for hit in both if hit.item // 50 == 1} == {""}
    # Neither crowds the other out among the best.
    first = groups(find(features, np.zeros((0, 16), np.float32), example,
                        **{**options, "per_category": 40}), 1)  # type: ignore[arg-type]  # fmt: skip
    assert min(first.count(1), first.count(2)) >= 10


def test_without_examples_scores_are_the_similarities_to_the_texts() -> None:
    features, texts, _ = world()
    for hit in find(features, np.zeros((0, 16), np.float32), texts=texts):
        assert hit.score == np.float32(features[hit.item] @ texts[hit.category])
        assert hit.example == ""


def test_unwanted_things_are_left_out_whoever_found_them() -> None:
    features, texts, means = world()
    other = texts[:1] * 0
    other[0, 1], other[0, 7] = 2, 1.6  # a text about the things of group 3
    other /= np.linalg.norm(other)
    example = Examples(means[3:4], np.array([1]), ("tile/mistake.png",))
    found = find(features, NOTHING, example, texts=texts, depth=50, per_category=100)
    assert groups(found, 1).count(3) > 40
    left = find(features, other, example, texts=texts, depth=50, per_category=100)
    assert groups(left, 1).count(3) < groups(found, 1).count(3) / 2
