"""The paired statistics reproduce published and analytic values."""

import numpy as np
import pytest
from scipy import stats

from components.core.realism.diversity import mean_pairwise_distance
from components.evaluation.statistics import (
    auc,
    diversity_within,
    paired_difference,
    sign_flip_p_value,
)

# Darwin's maize, height differences in eighths of an inch (Fisher 1935, section 21).
DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], float)


def names(count: int) -> list[str]:
    return [f"prompt {i}" for i in range(count)]


def test_exact_test_reproduces_fishers_published_count() -> None:
    # Fisher: 863 of 32,768 arrangements in each tail.
    assert sign_flip_p_value(DARWIN, np.random.default_rng(0), 100) == 2 * 863 / 2**15


def test_monte_carlo_agrees_with_the_t_test_on_normal_data() -> None:
    before = np.random.default_rng(1).normal(size=60)
    after = before + np.random.default_rng(2).normal(0.25, 1.0, size=60)
    result = paired_difference(before, after, names(60), seed=3)
    assert result.p_value == pytest.approx(stats.ttest_rel(after, before).pvalue, abs=0.01)


def test_monte_carlo_p_value_is_never_zero() -> None:
    result = paired_difference(np.zeros(40), np.ones(40), names(40), seed=0, resamples=999)
    assert result.p_value == 1 / 1000


def test_interval_agrees_with_scipy_when_every_pair_is_its_own_prompt() -> None:
    change = np.random.default_rng(4).normal(0.1, 1.0, size=80)
    ours = paired_difference(np.zeros(80), change, names(80), seed=5).ci95
    theirs = stats.bootstrap(
        (change,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(6)
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_copies_of_a_pair_do_not_narrow_the_interval() -> None:
    change = np.random.default_rng(7).normal(0.1, 1.0, size=20)
    once = paired_difference(np.zeros(20), change, names(20), seed=8)
    copied = paired_difference(np.zeros(80), np.repeat(change, 4), np.repeat(names(20), 4), seed=8)
    assert copied.pairs == 80
    assert copied.ci95 == pytest.approx(once.ci95)
    assert copied.p_value == pytest.approx(once.p_value, abs=0.02)


def test_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(9)
    covered = 0
    for trial in range(200):
        per_prompt = np.repeat(rng.normal(0.3, 1.0, size=24), 3)
        change = per_prompt + rng.normal(0, 0.5, size=72)
        low, high = paired_difference(
            np.zeros(72), change, np.repeat(names(24), 3), seed=trial, resamples=500
        ).ci95
        covered += low <= 0.3 <= high
    assert 178 <= covered <= 199


@pytest.mark.parametrize("prompts", [2, 3, 4, 8, 12])
def test_few_prompts_cover_the_truth_as_often_as_many(prompts: int) -> None:
    """A bootstrap of 2, 3 and 4 prompts covers 51, 75 and 87 times in 100."""
    rng = np.random.default_rng(prompts)
    trials, covered = 1000, 0
    for trial in range(trials):
        per_prompt = np.repeat(rng.normal(0.3, 1.0, size=prompts), 2)
        change = per_prompt + rng.normal(0, 0.5, size=2 * prompts)
        low, high = paired_difference(
            np.zeros(2 * prompts), change, np.repeat(names(prompts), 2), seed=trial, resamples=200
        ).ci95
        covered += low <= 0.3 <= high
    assert 0.925 <= covered / trials <= 0.98


def test_few_prompts_of_equal_size_have_the_t_interval_of_their_means() -> None:
    change = np.random.default_rng(11).normal(0.2, 1.0, size=(5, 4))
    ours = paired_difference(np.zeros(20), change.ravel(), np.repeat(names(5), 4), seed=0).ci95
    theirs = stats.ttest_1samp(change.mean(axis=1), 0.0).confidence_interval()
    assert ours == pytest.approx((theirs.low, theirs.high))


def test_one_prompt_has_no_interval() -> None:
    with pytest.raises(ValueError, match="2 prompts are needed"):
        paired_difference(np.zeros(4), np.ones(4), ["one"] * 4, seed=0)


def test_same_seed_same_result_and_the_direction_is_after_minus_before() -> None:
    before, after = np.array([0.1, 0.2, 0.3]), np.array([0.4, 0.4, 0.4])
    first = paired_difference(before, after, names(3), seed=1)
    assert first == paired_difference(before, after, names(3), seed=1)
    assert first.difference == pytest.approx(0.2)
    assert first.p_value == 2 / 2**3
    assert list(first.as_dict()) == [
        "pairs", "before_mean", "after_mean", "difference", "ci95", "p_value"
    ]  # fmt: skip


def test_lengths_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="2 before, 3 after"):
        paired_difference(np.zeros(2), np.zeros(3), names(2), seed=0)
    with pytest.raises(ValueError, match="no pairs"):
        paired_difference(np.zeros(0), np.zeros(0), [], seed=0)


def test_pairwise_distance_is_the_mean_over_all_pairs() -> None:
    features = np.random.default_rng(10).normal(size=(9, 5))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    explicit = np.mean(
        [1 - features[i] @ features[j] for i in range(9) for j in range(9) if i != j]
    )
    assert mean_pairwise_distance(features) == pytest.approx(explicit)
    assert mean_pairwise_distance(np.eye(4)) == pytest.approx(1.0)
    assert mean_pairwise_distance(np.ones((3, 1))) == pytest.approx(0.0)


def test_within_prompt_diversity_sees_a_collapse_that_the_overall_one_hides() -> None:
    collapsed = np.repeat(np.eye(4), 2, axis=0)  # both seeds of a prompt give the same image
    prompts = np.repeat(names(4), 2)
    assert mean_pairwise_distance(collapsed) > 0.8
    assert diversity_within(collapsed, prompts) == pytest.approx(0.0)
    assert diversity_within(np.eye(3), names(3)) is None


def test_auc_is_the_probability_of_the_right_order() -> None:
    assert auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert auc(np.array([1.0, 1.0]), np.array([1.0])) == 0.5
    assert auc(np.array([0.2, 0.8]), np.array([0.5])) == 0.5
