"""The nearest-neighbour search on features made by hand."""

import numpy as np

from components.photo_retrieval.search import search

NOTHING = np.zeros((0, 3), np.float32)
CATEGORIES = np.eye(3, dtype=np.float32)[:2]


def unit(*rows: tuple[float, float, float]) -> np.ndarray:
    features = np.array(rows, np.float32)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def find(features: np.ndarray, others: np.ndarray = NOTHING, **options: float) -> list:
    settings = {"depth": 10, "per_category": 10, "duplicate_similarity": 0.9999, **options}
    return search(features, CATEGORIES, others, **settings)


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


def test_images_nearer_to_something_else_are_left_out() -> None:
    features = unit((1, 0, 0.2), (0.5, 0, 1), (0, 1, 0))
    other = np.array([[0, 0, 1]], np.float32)
    assert {hit.item for hit in find(features, other)} == {0, 2}
