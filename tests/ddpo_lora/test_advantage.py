"""Advantages: float, relative to the prompt, batch statistics while little is known."""

import numpy as np
import pytest

from components.ddpo_lora.advantage import PromptStatistics, Scale, group_advantages


def test_integer_rewards_give_fractional_advantages() -> None:
    advantages = PromptStatistics(buffer=8, min_count=8).advantages(["a"] * 3, np.array([0, 1, 5]))
    assert advantages.dtype == np.float64
    assert advantages == pytest.approx(np.array([-2.0, -1.0, 3.0]) / np.std([0, 1, 5]), rel=1e-4)


def test_a_prompt_is_compared_with_itself_once_it_is_known() -> None:
    statistics = PromptStatistics(buffer=4, min_count=2)
    advantages = statistics.advantages(["easy", "easy", "hard", "hard"], [10.0, 12.0, 0.0, 2.0])
    assert advantages == pytest.approx([-1.0, 1.0, -1.0, 1.0], rel=1e-4)


def test_a_new_prompt_is_compared_with_its_batch() -> None:
    statistics = PromptStatistics(buffer=4, min_count=3)
    advantages = statistics.advantages(["a", "b"], [1.0, 3.0])
    assert advantages == pytest.approx([-1.0, 1.0], rel=1e-4)


def test_old_rewards_count_until_the_buffer_is_full() -> None:
    statistics = PromptStatistics(buffer=2, min_count=2)
    statistics.advantages(["a", "a"], [100.0, 100.0])
    assert statistics.advantages(["a", "a"], [1.0, 3.0]) == pytest.approx([-1.0, 1.0], rel=1e-4)
    assert statistics.count("a") == 2


@pytest.mark.parametrize("reward", [0.0, 0.3, 0.35, -0.1, 1e6 / 3])
@pytest.mark.parametrize("count", [2, 3, 7, 12])
def test_equal_rewards_have_no_advantage_at_all(reward: float, count: int) -> None:
    """Exactly none, though the mean of three times 0.35 is not 0.35."""
    for min_count in (1, 16):
        statistics = PromptStatistics(16, min_count)
        assert not statistics.advantages(["a"] * count, [reward] * count).any()
        assert not statistics.advantages(["a"] * count, [reward] * count).any()
    assert not group_advantages(["a"] * count, [reward] * count).any()


def test_float32_rounding_is_no_difference_and_a_ten_thousandth_is() -> None:
    nearly = [0.35, float(np.nextafter(np.float32(0.35), np.float32(1.0)))]
    different = [0.35, 0.3501]
    for advantages in (lambda *given: PromptStatistics(4, 1).advantages(*given), group_advantages):
        assert not advantages(["a", "a"], nearly).any()
        assert np.abs(advantages(["a", "a"], different)).min() > 0.9


def test_more_samples_than_the_buffer_holds_are_compared_with_each_other() -> None:
    """All of them, or of the draws that share a light, those of each draw; not with the last."""
    low, high = [0.0, 1.0, 2.0, 3.0], [10.0, 11.0, 12.0, 13.0]
    merged = PromptStatistics(4, 4)
    together = merged.advantages(["a"] * 8, low + high)
    expected = (np.array(low + high) - np.mean(low + high)) / np.std(low + high)
    assert together == pytest.approx(expected, rel=1e-5)
    assert merged.state() == {"a": high}
    alone = (np.array(low) - 1.5) / np.std(low)
    for found in (
        PromptStatistics(4, 4).advantages(["a"] * 8, low + high, [0] * 4 + [1] * 4),
        group_advantages(["a"] * 8, low + high, [0] * 4 + [1] * 4),
    ):
        assert found == pytest.approx(np.tile(alone, 2), rel=1e-5)


def test_one_draw_of_each_prompt_is_what_it_was_without_draws() -> None:
    """As in `laptop`: 8 of 32 prompts an epoch, 4 samples of each, a buffer of 4."""
    rng = np.random.default_rng(5)
    plain, drawn = PromptStatistics(4, 4), PromptStatistics(4, 4)
    for _ in range(6):
        prompts = [str(p) for p in rng.permutation(32)[:8] for _ in range(4)]
        rewards = rng.normal(size=32)
        expected = rewards.reshape(8, 4)
        expected = expected - expected.mean(axis=1, keepdims=True)
        expected /= expected.std(axis=1, keepdims=True) + 1e-6
        for found in (
            plain.advantages(prompts, rewards),
            drawn.advantages(prompts, rewards, [i // 4 for i in range(32)]),
        ):
            np.testing.assert_allclose(found, expected.ravel(), rtol=1e-12)


def test_state_survives_and_restores() -> None:
    first, second = PromptStatistics(4, 2), PromptStatistics(4, 2)
    first.advantages(["a", "b", "a"], [1.0, 2.0, 5.0])
    second.restore(first.state())
    assert (first.advantages(["a"], [2.0]) == second.advantages(["a"], [2.0])).all()


def test_a_reward_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        PromptStatistics(4, 2).advantages(["a"], [float("nan")])


def oracle(
    batches: list[tuple[list[str], list[float]]], buffer: int, min_count: int, scale: Scale = "own"
) -> list[np.ndarray]:
    """Advantages of batches in a row, written down as plainly as possible."""
    seen: list[tuple[str, float]] = []
    result = []
    for prompts, rewards in batches:
        seen += list(zip(prompts, rewards, strict=True))
        row = []
        for prompt, reward in zip(prompts, rewards, strict=True):
            own = np.array(
                [r for p, r in seen if p == prompt][-max(buffer, prompts.count(prompt)) :]
            )
            basis = own if len(own) >= min_count else np.array(rewards)
            row.append((reward - np.mean(basis)) / (np.std(basis) + 1e-6 if scale == "own" else 1))
        size = 1 if scale == "own" else np.linalg.norm(row) / len(row) ** 0.5 + 1e-6
        result.append(np.array(row) / size)
    return result


@pytest.mark.parametrize("scale", ["own", "batch"])
@pytest.mark.parametrize(("buffer", "min_count"), [(4, 2), (16, 5), (3, 3)])
def test_unequal_groups_against_an_oracle(buffer: int, min_count: int, scale: Scale) -> None:
    rng = np.random.default_rng(7)
    batches = []
    for size in (11, 5, 17, 8):
        prompts = [
            str(p) for p in rng.choice(["a", "b", "c", "rare"], size, p=[0.5, 0.3, 0.15, 0.05])
        ]
        batches.append((prompts, [float(r) for r in rng.normal(size=size)]))
    statistics = PromptStatistics(buffer, min_count, scale)
    for (prompts, rewards), expected in zip(
        batches, oracle(batches, buffer, min_count, scale), strict=True
    ):
        np.testing.assert_allclose(statistics.advantages(prompts, rewards), expected, rtol=1e-12)


def test_group_advantages_against_an_oracle() -> None:
    rng = np.random.default_rng(3)
    prompts = [str(p) for p in rng.choice(["a", "b", "c"], 20, p=[0.6, 0.3, 0.1])] + ["alone"]
    rewards = rng.normal(size=21)
    found = group_advantages(prompts, rewards)
    for prompt, reward, advantage in zip(prompts, rewards, found, strict=True):
        own = np.array([r for p, r in zip(prompts, rewards, strict=True) if p == prompt])
        assert advantage == pytest.approx((reward - own.mean()) / (own.std() + 1e-6))
    assert found[-1] == 0.0


@pytest.mark.parametrize("kind", ["history", "group"])
def test_one_scale_for_all_leaves_prompts_their_different_spreads(kind: str) -> None:
    """Unequal groups, one of them of equal rewards and one of a single sample."""
    prompts = ["wide"] * 4 + ["narrow"] * 2 + ["equal"] * 3 + ["alone"]
    rewards = [0.0, 0.2, 0.4, 1.0] + [0.50, 0.52] + [0.3] * 3 + [0.9]
    centred = np.array([-0.4, -0.2, 0.0, 0.6] + [-0.01, 0.01] + [0.0] * 4)
    draws = [7] * 6 + [8] * 4  # nothing but the groups follows from them
    if kind == "group":
        found = group_advantages(prompts, rewards, draws, "batch")
    else:
        found = PromptStatistics(4, 1, "batch").advantages(prompts, rewards, draws)
    expected = centred / (np.sqrt((0.16 + 0.04 + 0.36 + 0.0002) / 10) + 1e-6)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert found[6:].tolist() == [0.0] * 4


def test_one_scale_for_all_of_equal_rewards_teaches_nothing() -> None:
    for advantages in (
        PromptStatistics(16, 16, "batch").advantages(["a", "b", "a"], [0.35] * 3),
        group_advantages(["a", "a", "b", "b"], [0.35, 0.35, 0.1, 0.1], None, "batch"),
    ):
        assert not advantages.any()


def test_groups_remember_nothing_and_equal_rewards_teach_nothing() -> None:
    assert not group_advantages(["a", "a", "b"], [1, 1, 9]).any()
    assert group_advantages(["a", "a"], np.array([0, 1])).tolist() == pytest.approx(
        [-1, 1], rel=1e-4
    )
