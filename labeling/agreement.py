"""How well annotators agree, and who differs from the others.

Krippendorff's alpha (nominal) over all images that several people judged: 1 is perfect agreement,
0 what chance would give. Beside it stands, for each annotator, how often others who saw the same
image said the same, and by how much more often than they he or she says "realistic". Whoever falls
below a threshold is flagged; leaving somebody out is a decision for people, made in the recipe.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass

import evalica
import numpy as np
import pandas as pd

from labeling.annotations import LABELS, Label

MINIMUM_SHARED = 10
"""So many shared images at least, before an annotator can be flagged."""


@dataclass(frozen=True)
class Said:
    """One person's label of one thing."""

    thing: Hashable
    annotator: str
    label: Label


@dataclass(frozen=True)
class Annotator:
    """One person against the others.

    judged, shared: images, and those of them that others judged too. agreement: share of the
    others' labels of the shared images that are the same. bias: share of "realistic" minus the
    others' share, on the shared images. Both are None without shared images.
    """

    annotator: str
    judged: int
    shared: int
    agreement: float | None
    bias: float | None
    flagged: bool


@dataclass(frozen=True)
class Agreement:
    """alpha is None where no image has several judgements, or all judgements are the same."""

    alpha: float | None
    shared: int
    annotators: tuple[Annotator, ...]

    def row(self) -> dict[str, object]:
        """As JSON."""
        return asdict(self)


def agreement(said: Iterable[Said], threshold: float) -> Agreement:
    """Agreement of all; annotators who agree with fewer than `threshold` of others are flagged."""
    by_thing: dict[Hashable, dict[str, Label]] = {}
    for word in said:
        by_thing.setdefault(word.thing, {})[word.annotator] = word.label
    people = sorted({name for labels in by_thing.values() for name in labels})
    shared = [labels for labels in by_thing.values() if len(labels) > 1]
    return Agreement(
        alpha=_alpha(people, shared),
        shared=len(shared),
        annotators=tuple(_annotator(name, by_thing.values(), threshold) for name in people),
    )


def _alpha(people: Sequence[str], shared: Sequence[dict[str, Label]]) -> float | None:
    if len({label for labels in shared for label in labels.values()}) < 2:
        return None
    table = pd.DataFrame([[labels.get(name) for labels in shared] for name in people], index=people)
    return float(evalica.alpha(table).alpha)


def _annotator(name: str, things: Iterable[dict[str, Label]], threshold: float) -> Annotator:
    judged = [labels for labels in things if name in labels]
    shared = [labels for labels in judged if len(labels) > 1]
    same = [
        label == labels[name]
        for labels in shared
        for other, label in labels.items()
        if other != name
    ]
    bias = [
        (labels[name] == LABELS[0])
        - np.mean([label == LABELS[0] for other, label in labels.items() if other != name])
        for labels in shared
    ]
    found = float(np.mean(same)) if same else None
    return Annotator(
        annotator=name,
        judged=len(judged),
        shared=len(shared),
        agreement=found,
        bias=float(np.mean(bias)) if bias else None,
        flagged=found is not None and len(shared) >= MINIMUM_SHARED and found < threshold,
    )
