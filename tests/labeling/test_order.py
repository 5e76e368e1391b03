"""The order of judging: doubtful first, with an unbiased share throughout."""

import numpy as np

from labeling.order import order_scores, random_share


def test_the_random_share_is_the_same_in_every_category() -> None:
    categories = ["brick"] * 50 + ["moss"] * 10 + ["paper"]
    chosen = random_share(categories, 0.2, np.random.default_rng(0))
    assert [int(chosen[:50].sum()), int(chosen[50:60].sum()), int(chosen[60])] == [10, 2, 1]
    assert not random_share(categories, 0.0, np.random.default_rng(0)).any()


def test_the_random_share_is_an_unbiased_sample_at_every_moment() -> None:
    """Those of it that come first are as sure as those that come last; the others are not."""
    rng = np.random.default_rng(1)
    margins = rng.random(4000) ** 2
    random = rng.random(4000) < 0.25
    scores = order_scores(margins, random, rng)
    assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_array_equal(scores[~random], margins[~random])
    first = np.argsort(scores)[:1000]
    early = first[random[first]]
    assert abs(len(early) - 250) < 30  # its share of what is judged stays the same
    assert abs(margins[early].mean() - margins.mean()) < 0.05
    assert margins[first[~random[first]]].mean() < 0.1
