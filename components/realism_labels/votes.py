"""From judgements to hand labels: the majority per image, ties and "can't tell" left open."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

VOTES = {"realistic": 1, "unrealistic": -1}


def hand_labels(annotations: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], int]:
    """(set, item) to 1 (realistic) or 0, for every image with a majority."""
    balance: Counter[tuple[str, int]] = Counter()
    for row in annotations:
        balance[(str(row["set"]), int(row["item"]))] += VOTES.get(str(row["label"]), 0)
    return {key: int(votes > 0) for key, votes in balance.items() if votes != 0}
