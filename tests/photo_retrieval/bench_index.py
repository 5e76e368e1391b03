"""The approximate index against exact search on 1 M × 512 vectors (`make bench`).

Recall is that of the 100 nearest; both searches use all cores. The estimates scale what was
measured: memory by the bytes a vector, building by its multiplications (`work`), since more vectors
also need more lists to be told apart.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from components.photo_retrieval.index import GRAPH_LISTS, LINKS, TRAINING, Index, Kind, Plan, plan
from tests.photo_retrieval.structured import recall, vectors

COUNT = int(os.environ.get("REALMAT_BENCH_VECTORS", "1000000"))
DIMENSION, QUERIES, DEPTH = 512, 64, 100
GRAPH_COMPARED = 16 * 2 * LINKS
"""A search in the graph keeps 16 candidates, and looks at all links of each."""


@pytest.mark.parametrize("kind", ["ivf_pq"])
def test_recall_and_speed(kind: Kind, tmp_path: Path) -> None:
    database = np.memmap(tmp_path / "vectors", np.float16, "w+", shape=(COUNT, DIMENSION))
    database[:] = vectors(COUNT, DIMENSION)
    rng = np.random.default_rng(1)
    queries = np.asarray(database[:: COUNT // QUERIES][:QUERIES], np.float32)
    queries += 0.02 * rng.normal(size=queries.shape).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    exact = Index.build(database, kind="exact")
    true, exact_seconds = searched(exact, queries)
    del exact
    started = time.perf_counter()
    index = Index.build(database, kind=kind)
    building = time.perf_counter() - started
    found, seconds = searched(index, queries)
    chosen = index.plan
    print(
        f"\n{kind} over {COUNT} x {DIMENSION}: recall@{DEPTH} "
        f"{recall(found, true):.3f} (aim 0.95), "
        f"{1000 * seconds / QUERIES:.2f} ms a query,\n{exact_seconds / seconds:.1f} times as fast "
        f"as exact search (aim 10); built in {building:.0f} s;\n"
        f"{chosen.bytes_per_vector:.0f} bytes "
        f"a vector (exact: {4 * DIMENSION}), {chosen.lists} lists, {chosen.probes} looked at"
    )
    for count in (10**8, 10**9):
        large = plan(count, DIMENSION, 0, "auto")
        print(
            f"estimate for {count:.0e}: {large.bytes_per_vector:.0f} bytes a vector = "
            f"{large.gigabytes(count):.0f} GB in memory,\n{2e-9 * DIMENSION * count:.0f} GB of "
            f"float16 on disk, {large.lists} lists; built at the rate measured here in "
            f"{building * work(large, count) / work(chosen, COUNT) / 3600:.0f} h on this machine "
            f"({work(large, count) / work(chosen, COUNT):.0f} times the multiplications)"
        )


def work(chosen: Plan, count: int) -> float:
    """Multiplications that build an index over `count` vectors.

    The lists are found in ten rounds that compare `TRAINING` vectors a list with all lists; then
    each vector is compared with all lists, or with those that the graph leads to, and each part of
    it with the 256 codes of that part.
    """
    compared = GRAPH_COMPARED if chosen.lists >= GRAPH_LISTS else chosen.lists
    return DIMENSION * (10.0 * TRAINING * chosen.lists * compared + count * (compared + 256.0))


def searched(index: Index, queries: np.ndarray) -> tuple[np.ndarray, float]:
    """The neighbours of all queries, and the best of three times."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        _, items = index.search(queries, DEPTH)
        times.append(time.perf_counter() - started)
    return items, min(times)
