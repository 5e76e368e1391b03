"""Nearest-neighbour search of images by category prompts (paper, section 4.1: CLIP and FAISS).

Every category asks for its nearest images, by its text and by its examples, if there are any; an
image that several categories found goes to the nearest one. Images nearer to a text about
something else are left out, near-duplicates are removed, and the best of each category are kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.core.platform.progress import track
from components.photo_retrieval.index import (
    BLOCK,
    TRAINING,
    Features,
    Index,
    Kind,
    faiss,
    spread,
)
from components.photo_retrieval.queries import Queries

Texts = NDArray[np.float32]

LARGE = 65_536
"""Images above which not all pairs are compared any more."""
PROBES = 8


@dataclass(frozen=True)
class Hit:
    """Image `item` of the database found for category number `category`.

    score: similarity to the category's text, or what corresponds to it; example: the name of the
    example that found it, "" for the text.
    """

    item: int
    category: int
    score: float
    example: str = ""


def search(
    features: Features,
    queries: Queries,
    others: Texts,
    *,
    depth: int,
    per_category: int,
    duplicate_similarity: float,
    other_margin: float = 0.0,
    memory_gb: float = 64.0,
    kind: Kind | Literal["auto"] = "auto",
) -> list[Hit]:
    """The kept hits, best first within each category.

    features (N, D) and others (O, D) are unit vectors; others describe what is not wanted (O may
    be 0). depth: neighbours asked for by each query. other_margin: see `without_others`. memory_gb
    and kind: see `components.photo_retrieval.index.plan`.
    """
    index = Index.build(features, memory_gb=memory_gb, kind=kind)
    found = merged(index, queries, min(depth, len(features)))
    hits = without_others(found, features, others, other_margin)
    return best(without_duplicates(hits, features, duplicate_similarity), per_category)


def merged(index: Index, queries: Queries, depth: int) -> list[Hit]:
    """Each found image once, with its nearest category, best first."""
    similar, items = index.search(queries.vectors, depth)
    scores = similar * queries.gain[:, None] + queries.offset[:, None]
    found: dict[int, Hit] = {}
    for query, category in enumerate(queries.category.tolist()):
        for score, item in zip(scores[query].tolist(), items[query].tolist(), strict=True):
            if item >= 0 and (item not in found or score > found[item].score):
                found[item] = Hit(item, category, score, queries.names[query])
    return sorted(found.values(), key=lambda hit: (-hit.score, hit.item))


def without_others(
    hits: list[Hit], features: Features, others: Texts, margin: float = 0.0
) -> list[Hit]:
    """Drops images that lie nearer, by more than `margin`, to one of `others` than to their
    category."""
    if not len(others) or not hits:
        return hits
    found = np.asarray(features[[hit.item for hit in hits]], np.float32)
    nearest_other = (found @ others.T).max(axis=1)
    return [
        hit for hit, other in zip(hits, nearest_other, strict=True) if hit.score >= other - margin
    ]


def without_duplicates(hits: list[Hit], features: Features, similarity: float) -> list[Hit]:
    """Keeps the best of every cluster of images more alike than `similarity`.

    Compares all pairs up to `LARGE` images. Among more, each is compared with those in the `PROBES`
    nearest lists of an inverted file, where its duplicates practically always are.
    """
    if not hits:
        return hits
    items = np.array([hit.item for hit in hits])
    index = _for_duplicates(features, items)
    dropped = np.zeros(len(hits), np.bool_)
    blocks = range(0, len(hits), BLOCK)
    for start in track(blocks, "removing duplicates", len(blocks)):
        ranks = start + np.flatnonzero(~dropped[start : start + BLOCK])
        limits, _, close = index.range_search(_vectors(features, items[ranks]), similarity)
        for place, rank in enumerate(ranks.tolist()):
            if not dropped[rank]:
                near = close[limits[place] : limits[place + 1]]
                dropped[near[near > rank]] = True
    return [hit for hit, gone in zip(hits, dropped.tolist(), strict=True) if not gone]


def _for_duplicates(features: Features, items: NDArray[np.int64]) -> Any:
    """An index of the images `items`, numbered by their places there."""
    dimension, total = features.shape[1], len(items)
    index = faiss.IndexFlatIP(dimension)
    if total > LARGE:
        lists = 2 ** round(np.log2(np.sqrt(total)))
        # Features are kept in half precision, so that nothing is lost here.
        index = faiss.index_factory(dimension, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
        index.train(_vectors(features, items[spread(total, TRAINING * lists)]))
        index.nprobe = min(PROBES, lists)
    for start in range(0, total, BLOCK):
        index.add(_vectors(features, items[start : start + BLOCK]))
    return index


def _vectors(features: Features, items: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.ascontiguousarray(features[items], np.float32)


def best(hits: list[Hit], per_category: int) -> list[Hit]:
    """The first `per_category` hits of each category, ordered by category."""
    taken: Counter[int] = Counter()
    kept = []
    for hit in hits:
        taken[hit.category] += 1
        if taken[hit.category] <= per_category:
            kept.append(hit)
    return sorted(kept, key=lambda hit: hit.category)
