"""The random share says what the whole set is like; the doubtful images do not."""

import numpy as np
import pytest
from scipy.stats import binomtest

from components.annotation_sync.estimate import random_shares
from labeling.annotations import Annotation


def said(item: int, realistic: bool, *, random: bool, by: str = "a") -> Annotation:
    label = "realistic" if realistic else "unrealistic"
    return Annotation("photographs", item, label, by, "2026-01-01T00:00:00Z", random)


def test_the_doubtful_first_bias_the_whole_and_not_the_random_share() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(1000) < 0.8
    drawn = rng.permutation(1000)[:200]
    doubtful = np.flatnonzero(~truth)[:150]  # whoever looks for faults finds them
    rows = [said(i, bool(truth[i]), random=True) for i in drawn]
    rows += [said(i, bool(truth[i]), random=False) for i in set(doubtful) - set(drawn)]
    found = random_shares(rows)["photographs"]
    assert found.judged == 200
    assert found.low < truth.mean() < found.high
    everything = np.mean([row.label == "realistic" for row in rows])
    assert everything < found.low
    oracle = binomtest(round(found.share * 200), 200).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high))


def test_two_opinions_of_an_image_are_one_vote() -> None:
    rows = [
        said(0, True, random=True), said(0, True, random=True, by="b"),
        said(1, True, random=True), said(1, False, random=True, by="b"),
    ]  # fmt: skip
    found = random_shares(rows)["photographs"]
    assert (found.judged, found.share) == (2, 0.75)
    assert random_shares([]) == {}
