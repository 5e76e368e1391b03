"""Agreement: known values, chance, and an annotator who guesses."""

import numpy as np
import pytest

from labeling.agreement import Said, agreement
from labeling.annotations import LABELS, Label


def test_alpha_of_two_coders_is_one_minus_observed_over_expected_disagreement() -> None:
    pairs = [(0, 0)] * 5 + [(1, 1)] * 3 + [(0, 1)] * 2
    said = [
        Said(thing, who, LABELS[code])
        for thing, pair in enumerate(pairs)
        for who, code in zip("ab", pair, strict=True)
    ]
    ones = sum(map(sum, pairs))
    n = 2 * len(pairs)
    expected = 2 * ones * (n - ones) / (n * (n - 1))
    found = agreement(said, 0.5)
    assert found.alpha == pytest.approx(1 - (2 / 10) / expected)
    assert found.shared == 10
    a, b = found.annotators
    assert (a.agreement, b.agreement) == (0.8, 0.8)
    assert a.bias == pytest.approx(0.2)  # says "realistic" (0) on two more of ten
    assert b.bias == pytest.approx(-0.2)


def test_who_guesses_is_flagged_and_nobody_else() -> None:
    rng = np.random.default_rng(0)
    said: list[Said] = []
    for thing in range(200):
        truth: Label = LABELS[int(rng.integers(2))]
        for who in ("ann", "bea", "cyd"):
            wrong = rng.random() < 0.05
            said.append(Said(thing, who, LABELS[1 - LABELS.index(truth)] if wrong else truth))
        said.append(Said(thing, "dan", LABELS[int(rng.integers(2))]))
    found = agreement(said, 0.6)
    assert [person.annotator for person in found.annotators if person.flagged] == ["dan"]
    without = agreement([word for word in said if word.annotator != "dan"], 0.6)
    assert found.alpha is not None
    assert without.alpha is not None
    assert found.alpha < 0.6 < 0.8 < without.alpha


def test_without_shared_images_nothing_is_claimed() -> None:
    found = agreement([Said(1, "a", "realistic"), Said(2, "b", "unrealistic")], 0.6)
    assert found.alpha is None
    assert all(p.agreement is None and not p.flagged for p in found.annotators)
    same = agreement([Said(1, "a", "realistic"), Said(1, "b", "realistic")], 0.6)
    assert same.alpha is None  # nothing varies: agreement by chance would be the same
