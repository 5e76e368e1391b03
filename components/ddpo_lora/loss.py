"""The DDPO objective: PPO's clipped importance-sampled policy gradient on denoising transitions.

Paper equation 4 with the trust region of Schulman et al. 2017: a transition x_t -> x_{t-1} is an
action, its log-probability is the Gaussian's of the DDPM sampler, averaged over the latent's
elements. The average makes the ratio tiny (SDXL's latent has 65,536 elements), so clip ranges of
1e-4 are usual, and differences of log-probabilities are taken in float64.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PolicyLoss:
    """The loss to differentiate, and what to watch while it is minimised."""

    loss: Tensor
    ratio_b: Tensor
    approx_kl: float
    clip_fraction: float


def policy_loss(
    log_probs_b: Tensor, old_log_probs_b: Tensor, advantages_b: Tensor, clip_range: float
) -> PolicyLoss:
    """The clipped surrogate of one batch of transitions, mean over the batch.

    Args:
        log_probs_b: log-probabilities under the current policy, with gradient.
        old_log_probs_b: those under the policy that made the transitions.
        advantages_b: floating point, one per transition.
        clip_range: how far the ratio may move from 1 before the gradient stops.
    """
    if not advantages_b.is_floating_point():
        raise ValueError(f"advantages must be floating point, got {advantages_b.dtype}")
    log_ratio_b = log_probs_b.double() - old_log_probs_b.double()
    ratio_b = torch.exp(log_ratio_b)
    weights_b = advantages_b.double()
    unclipped_b = -weights_b * ratio_b
    clipped_b = -weights_b * ratio_b.clamp(1.0 - clip_range, 1.0 + clip_range)
    detached_b = log_ratio_b.detach()
    return PolicyLoss(
        loss=torch.maximum(unclipped_b, clipped_b).mean(),
        ratio_b=ratio_b.detach(),
        approx_kl=0.5 * detached_b.square().mean().item(),
        clip_fraction=((ratio_b.detach() - 1.0).abs() > clip_range).double().mean().item(),
    )


def kl_to_reference(mean_bchw: Tensor, reference_bchw: Tensor, std: Tensor | float) -> Tensor:
    """KL divergence, per latent element, of two Gaussian transitions which share their deviation.

    The reference is the same model with its adapter switched off, so this measures how far the
    whole fine-tuning has moved, not only the last update.
    """
    difference = mean_bchw.double() - reference_bchw.double()
    scale = torch.as_tensor(std, dtype=torch.float64)
    return (difference.square() / (2.0 * scale.square())).mean()
