"""FAISS indexes against brute force, and the choice among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.photo_retrieval.examples import Examples
from components.photo_retrieval.index import Index, plan
from components.photo_retrieval.queries import Queries
from components.photo_retrieval.search import search
from tests.photo_retrieval.structured import recall, vectors

COUNT, DIMENSION = 20_000, 64


@pytest.fixture(scope="module")
def database() -> np.ndarray:
    return vectors(COUNT, DIMENSION)


@pytest.fixture(scope="module")
def queries(database: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(1)
    near = database[::1000] + 0.03 * rng.normal(size=(20, DIMENSION)).astype(np.float32)
    return near / np.linalg.norm(near, axis=1, keepdims=True)


def brute_force(database: np.ndarray, queries: np.ndarray, depth: int) -> np.ndarray:
    return np.argsort(-(queries @ database.T), axis=1, kind="stable")[:, :depth]


def test_the_exact_index_is_brute_force(database: np.ndarray, queries: np.ndarray) -> None:
    scores, items = Index.build(database, kind="exact").search(queries, 50)
    np.testing.assert_array_equal(items, brute_force(database, queries, 50))
    expected = np.take_along_axis(queries @ database.T, items, axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["hnsw", "ivf_pq"])
def test_an_approximate_index_misses_few_and_scores_exactly(
    kind: str, database: np.ndarray, queries: np.ndarray, tmp_path: Path
) -> None:
    file = np.memmap(tmp_path / "vectors", np.float16, "w+", shape=database.shape)
    file[:] = database
    scores, items = Index.build(file, kind=kind).search(queries, 100)  # type: ignore[arg-type]
    assert recall(items, brute_force(database, queries, 100)) > 0.95
    exact = np.take_along_axis(queries @ file.astype(np.float32).T, items, axis=1)
    np.testing.assert_allclose(scores, exact, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == 100 for row in items.tolist())


def test_a_search_for_everything_finds_everything(database: np.ndarray) -> None:
    scores, items = Index.build(database[:500], kind="ivf_pq").search(database[:1], 1000)
    assert sorted(items[0]) == list(range(500))
    assert items[0, 0] == 0
    assert np.isfinite(scores).all()


def test_the_most_exact_index_that_fits_is_chosen() -> None:
    sizes = {"exact": 2.1, "hnsw": 0.8, "ivf_pq": 0.1}
    for kind, memory in sizes.items():
        chosen = plan(1_000_000, 512, memory, "auto")
        assert chosen.kind == kind
        assert chosen.gigabytes(1_000_000) <= memory
    assert plan(1_000_000_000, 512, 100, "auto").kind == "ivf_pq"
    assert plan(1_000_000_000, 512, 100, "auto").gigabytes(1_000_000_000) < 80
    assert plan(10, 512, 1e-9, "auto").kind == "ivf_pq"  # nothing smaller is there
    assert plan(10, 512, 64, "hnsw").kind == "hnsw"


def test_the_search_of_the_stage_agrees_with_exact(database: np.ndarray) -> None:
    options = {"depth": 200, "per_category": 100, "duplicate_similarity": 0.999}
    nothing = np.zeros((0, DIMENSION), np.float32)
    categories = Queries.of(database, database[[5, 77, 4242]], Examples.none(DIMENSION))
    exact = search(database, categories, nothing, **options)  # type: ignore[arg-type]
    near = search(database, categories, nothing, kind="ivf_pq", **options)  # type: ignore[arg-type]
    both = {hit.item for hit in exact} & {hit.item for hit in near}
    assert len(both) > 0.95 * len(exact)
