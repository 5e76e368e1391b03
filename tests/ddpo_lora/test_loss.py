"""The clipped objective against its definition."""

import math

import pytest
import torch

from components.ddpo_lora.loss import kl_to_reference, policy_loss


def log_ratios(*ratios: float) -> torch.Tensor:
    return torch.tensor([math.log(r) for r in ratios], dtype=torch.float64, requires_grad=True)


def gradient(ratio: float, advantage: float) -> float:
    log_prob = log_ratios(ratio)
    zero, weight = torch.zeros(1, dtype=torch.float64), torch.tensor([advantage])
    policy_loss(log_prob, zero, weight, 0.1).loss.backward()
    assert log_prob.grad is not None
    return float(log_prob.grad)


def test_gradient_at_ratio_one_is_minus_the_advantage() -> None:
    assert gradient(1.0, 2.0) == pytest.approx(-2.0)
    assert gradient(1.0, -2.0) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "stops"),
    [(1.2, 1.0, True), (0.8, -1.0, True), (0.8, 1.0, False), (1.2, -1.0, False)],
)
def test_clipping_stops_only_what_has_already_moved_its_way(
    ratio: float, advantage: float, stops: bool
) -> None:
    assert (gradient(ratio, advantage) == 0.0) is stops


def test_a_ratio_just_inside_a_clip_range_of_1e_4_is_resolved() -> None:
    # In float32 log-probs of this size are 2.4e-7 apart; their exponential must not add to that.
    old = torch.tensor([2.5], dtype=torch.float32)
    result = policy_loss(old + 9e-5, old, torch.ones(1), 1e-4)
    assert result.clip_fraction == 0.0
    assert policy_loss(old + 1.1e-4, old, torch.ones(1), 1e-4).clip_fraction == 1.0


def test_reports() -> None:
    old = torch.zeros(2, dtype=torch.float64)
    result = policy_loss(log_ratios(1.0, 1.5), old, torch.ones(2), 0.1)
    assert result.approx_kl == pytest.approx(0.25 * math.log(1.5) ** 2)
    assert result.clip_fraction == 0.5
    assert result.loss.item() == pytest.approx(-(1.0 + 1.1) / 2)


def test_integer_advantages_are_refused() -> None:
    with pytest.raises(ValueError, match="floating point"):
        policy_loss(torch.zeros(1), torch.zeros(1), torch.ones(1, dtype=torch.int64), 0.1)


def test_kl_agrees_with_torch() -> None:
    first, second = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(first, 0.3), torch.distributions.Normal(second, 0.3)
    ).mean()
    assert kl_to_reference(first, second, 0.3).item() == pytest.approx(expected.item(), rel=1e-5)
