"""Nearest neighbours among as many images as there are: exact where they fit, else approximate.

The kind of index follows from the number of vectors and the memory that it may take:

    exact    4 D bytes a vector            every inner product, no training
    hnsw     D + 8 M + 8 bytes a vector    8-bit codes in a navigable graph (Malkov, Yashunin 2016)
    ivf_pq   D / 8 + 8 bytes a vector      product codes in inverted lists (Jegou et al. 2011)

An approximate index proposes candidates, whose exact inner products are then computed from the
vectors, which may lie on disk: what it can get wrong is to miss a neighbour, never its score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from components.photo_retrieval.gpu import Cards


class Features(Protocol):
    """Vectors (N, D), an array or something like it on disk."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


Kind = Literal["exact", "hnsw", "ivf_pq"]

faiss: Any = typed_faiss
"""Its stubs know only a part of it."""

LINKS = 32
TRAINING = 64
"""Vectors that train a list of the inverted file."""
CANDIDATES = 4
"""Proposed for each neighbour asked for: the codes order them roughly only."""
BLOCK = 65_536
"""Vectors read at a time."""
GRAPH_LISTS = 16_384
"""From so many lists on, the nearest ones are themselves found through a graph."""


@dataclass(frozen=True)
class Plan:
    """Which index, its bytes a vector, and the share of the lists that a search looks at."""

    kind: Kind
    bytes_per_vector: float
    lists: int = 0
    probes: int = 0

    def gigabytes(self, count: int) -> float:
        """Memory of the index over `count` vectors."""
        return self.bytes_per_vector * count / 1e9


def plan(count: int, dimension: int, memory_gb: float, kind: Kind | Literal["auto"]) -> Plan:
    """The most exact index that fits `memory_gb`; `kind` decides instead unless it is "auto"."""
    lists = 2 ** max(4, round(np.log2(np.sqrt(max(count, 1)))))
    plans = (
        Plan("exact", 4.0 * dimension),
        Plan("hnsw", dimension + 8.0 * LINKS + 8),
        Plan("ivf_pq", dimension / 8 + 8 + 4.0 * dimension * lists / max(count, 1), lists,
             max(8, lists // 16)),
    )  # fmt: skip
    if kind != "auto":
        return next(one for one in plans if one.kind == kind)
    fitting = (one for one in plans if one.gigabytes(count) <= memory_gb)
    return next(fitting, plans[-1])


class Index:
    """Nearest neighbours by inner product among unit vectors (N, D), an array or a memory map."""

    def __init__(self, vectors: Features, chosen: Plan) -> None:
        self.vectors = vectors
        self.plan = chosen
        self._index = _built(vectors, chosen)
        self._cards = Cards(faiss, self._index, halved=chosen.kind == "ivf_pq")

    @classmethod
    def build(
        cls, vectors: Features, *, memory_gb: float = 64.0, kind: Kind | Literal["auto"] = "auto"
    ) -> Index:
        """The index that `plan` chooses."""
        return cls(vectors, plan(len(vectors), vectors.shape[1], memory_gb, kind))

    def search(
        self, queries: NDArray[np.float32], depth: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(scores, items), both (Q, depth), best first; equal scores by item.

        An approximate index that finds fewer fills up with item -1 and score -inf.
        """
        depth = min(depth, len(self.vectors))
        queries = np.ascontiguousarray(queries, np.float32)
        if self.plan.kind == "exact":
            exact_scores, nearest = self._searched(queries, depth)
            return exact_scores, nearest
        found = self._searched(queries, min(CANDIDATES * depth, len(self.vectors)))[1]
        scores = np.full((len(queries), depth), -np.inf, np.float32)
        items = np.full((len(queries), depth), -1, np.int64)
        for row, candidates in enumerate(found):
            candidates = np.sort(candidates[candidates >= 0])
            exact = self._products(queries[row], candidates)
            order = np.lexsort((candidates, -exact))[:depth]
            scores[row, : len(order)], items[row, : len(order)] = exact[order], candidates[order]
        return scores, items

    def _searched(self, queries: NDArray[np.float32], wanted: int) -> tuple[Any, Any]:
        probes = self._probes(wanted)
        found = None if self.plan.kind == "hnsw" else self._cards.search(queries, wanted, probes)
        return found or self._index.search(queries, wanted, **self._effort(wanted))

    def _products(
        self, query: NDArray[np.float32], items: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        parts = [
            np.asarray(self.vectors[items[start : start + BLOCK]], np.float32) @ query
            for start in range(0, len(items), BLOCK)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _effort(self, wanted: int) -> dict[str, Any]:
        if self.plan.kind == "hnsw":
            return {"params": faiss.SearchParametersHNSW(efSearch=max(128, 2 * wanted))}
        if self.plan.kind == "ivf_pq":
            return {"params": faiss.SearchParametersIVF(nprobe=self._probes(wanted))}
        return {}

    def _probes(self, wanted: int) -> int:
        """Lists to look at: enough to hold what is asked for several times over."""
        enough = -(-8 * wanted * self.plan.lists // max(len(self.vectors), 1))
        return min(self.plan.lists, max(self.plan.probes, enough))


def _built(vectors: Features, chosen: Plan) -> Any:
    dimension = vectors.shape[1]
    product = faiss.METRIC_INNER_PRODUCT
    index: Any
    if chosen.kind == "exact":
        index = faiss.IndexFlatIP(dimension)
    elif chosen.kind == "hnsw":
        index = faiss.IndexHNSWSQ(dimension, faiss.ScalarQuantizer.QT_8bit, LINKS, product)
        index.hnsw.efConstruction = 80
    else:
        coarse = f"IVF{chosen.lists}"
        if chosen.lists >= GRAPH_LISTS:
            coarse += f"_HNSW{LINKS}"
        index = faiss.index_factory(dimension, f"{coarse},PQ{dimension // 8}", product)
    if not index.is_trained:
        index.train(_training(vectors, max(TRAINING * chosen.lists, 16_384)))
    for start in range(0, len(vectors), BLOCK):
        index.add(np.ascontiguousarray(vectors[start : start + BLOCK], np.float32))
    return index


def _training(vectors: Features, count: int) -> NDArray[np.float32]:
    """Vectors spread over the whole set, in its order."""
    return np.ascontiguousarray(vectors[spread(len(vectors), count)], np.float32)


def spread(total: int, count: int) -> NDArray[np.int64]:
    """At most `count` of the rows of `total`, spread evenly."""
    return np.linspace(0, total - 1, min(count, total)).astype(np.int64)
