"""Nearest-neighbour search of images by category prompts (paper, section 4.1: CLIP and FAISS).

Every category asks for its nearest images; an image that several categories found goes to the
nearest one. Images nearer to a text about something else are left out, near-duplicates are
removed, and the best of each category are kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Hit:
    """Image `item` of the database found for category number `category`."""

    item: int
    category: int
    score: float


def search(
    features: Features,
    categories: Features,
    others: Features,
    *,
    depth: int,
    per_category: int,
    duplicate_similarity: float,
) -> list[Hit]:
    """The kept hits, best first within each category.

    features (N, D), categories (C, D), others (O, D) are unit vectors; others describe what is
    not wanted (O may be 0). depth: neighbours asked for by each category.
    """
    index = faiss.IndexFlatIP(features.shape[1])
    index.add(np.ascontiguousarray(features))
    hits = without_others(merged(index, categories, min(depth, len(features))), features, others)
    return best(without_duplicates(hits, features, duplicate_similarity), per_category)


def merged(index: faiss.IndexFlatIP, categories: Features, depth: int) -> list[Hit]:
    """Each found image once, with its nearest category, best first."""
    scores, items = index.search(np.ascontiguousarray(categories), depth)
    found: dict[int, Hit] = {}
    for category in range(len(categories)):
        for score, item in zip(scores[category], items[category], strict=True):
            if int(item) not in found or score > found[int(item)].score:
                found[int(item)] = Hit(int(item), category, float(score))
    return sorted(found.values(), key=lambda hit: (-hit.score, hit.item))


def without_others(hits: list[Hit], features: Features, others: Features) -> list[Hit]:
    """Drops images that lie nearer to one of `others` than to their category."""
    if not len(others):
        return hits
    nearest_other = (features @ others.T).max(axis=1)
    return [hit for hit in hits if hit.score >= nearest_other[hit.item]]


def without_duplicates(hits: list[Hit], features: Features, similarity: float) -> list[Hit]:
    """Keeps the best of every cluster of images more alike than `similarity`."""
    if not hits:
        return hits
    found = np.ascontiguousarray(features[[hit.item for hit in hits]])
    index = faiss.IndexFlatIP(found.shape[1])
    index.add(found)
    limits, _, neighbours = index.range_search(found, similarity)
    dropped: set[int] = set()
    for rank in range(len(hits)):
        if rank not in dropped:
            close = neighbours[limits[rank] : limits[rank + 1]]
            dropped.update(int(other) for other in close if other > rank)
    return [hit for rank, hit in enumerate(hits) if rank not in dropped]


def best(hits: list[Hit], per_category: int) -> list[Hit]:
    """The first `per_category` hits of each category, ordered by category."""
    taken: Counter[int] = Counter()
    kept = []
    for hit in hits:
        taken[hit.category] += 1
        if taken[hit.category] <= per_category:
            kept.append(hit)
    return sorted(kept, key=lambda hit: hit.category)
