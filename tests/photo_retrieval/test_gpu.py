"""The index on graphics cards, by a stand-in for faiss-gpu that has the real one's limits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest

from components.photo_retrieval import index as module
from components.photo_retrieval.gpu import LIMIT
from components.photo_retrieval.index import Index
from tests.photo_retrieval.structured import vectors

COUNT, DIMENSION = 2_500, 16


class FaissGpu:
    """faiss with a card, which searches as the processor does and counts what it is asked for."""

    def __init__(self, cards: int = 1, refusal: str = "") -> None:
        self.cards, self.refusal = cards, refusal
        self.options: list[SimpleNamespace] = []
        self.searches: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(faiss, name)

    def get_num_gpus(self) -> int:
        return self.cards

    def GpuMultipleClonerOptions(self) -> SimpleNamespace:  # noqa: N802 - its name in faiss
        return SimpleNamespace()

    def GpuParameterSpace(self) -> SimpleNamespace:  # noqa: N802
        def set_parameter(card: SimpleNamespace, name: str, value: int) -> None:
            faiss.ParameterSpace().set_index_parameter(card.index, name, value)

        return SimpleNamespace(set_index_parameter=set_parameter)

    def index_cpu_to_all_gpus(self, index: Any, options: SimpleNamespace) -> Any:
        self.options.append(options)
        if self.refusal:
            raise RuntimeError(f"Error in virtual void*\n{self.refusal}")
        copy = faiss.clone_index(index)

        def search(queries: np.ndarray, wanted: int) -> Any:
            self.searches.append((wanted, getattr(copy, "nprobe", 0)))
            assert wanted <= LIMIT
            return copy.search(queries, wanted)

        return SimpleNamespace(index=copy, search=search)


def built(kind: Any, library: FaissGpu, monkeypatch: pytest.MonkeyPatch) -> Index:
    monkeypatch.setattr(module, "faiss", library)
    return Index.build(vectors(COUNT, DIMENSION), kind=kind)


@pytest.mark.parametrize("kind", ["exact", "ivf_pq"])
def test_cards_find_what_the_processor_finds(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = vectors(8, DIMENSION, seed=2)
    library = FaissGpu()
    of_cards = built(kind, library, monkeypatch)
    of_processor = built(kind, FaissGpu(cards=0), monkeypatch)
    for depth in (10, 50):
        found, expected = of_cards.search(queries, depth), of_processor.search(queries, depth)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_allclose(found[0], expected[0])
    (options,) = library.options  # copied once
    assert options.shard
    assert options.allowCpuCoarseQuantizer
    assert options.useFloat16 == (kind == "ivf_pq")
    probes = [of_cards._probes(wanted) for wanted, _ in library.searches]
    assert [lists for _, lists in library.searches] == (probes if kind == "ivf_pq" else [0, 0])


@pytest.mark.parametrize("kind", ["exact", "ivf_pq", "hnsw"])
def test_nothing_is_copied_for_what_cards_cannot_do(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = FaissGpu()
    depth = 10 if kind == "hnsw" else LIMIT + 1
    _, items = built(kind, library, monkeypatch).search(vectors(1, DIMENSION), depth)
    assert (items >= 0).all()
    assert library.options == []


def test_a_card_that_refuses_is_told_and_done_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    library = FaissGpu(refusal="out of memory on device 0")
    index = built("exact", library, monkeypatch)
    expected = built("exact", FaissGpu(cards=0), monkeypatch)
    queries = vectors(3, DIMENSION, seed=2)
    for _ in range(2):
        np.testing.assert_array_equal(index.search(queries, 9)[1], expected.search(queries, 9)[1])
    assert len(library.options) == 1  # not asked again
    assert capsys.readouterr().out.count("refuses (out of memory on device 0)") == 1
