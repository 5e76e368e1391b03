"""The update: optimizer steps of the LoRA matrices on an epoch's own samples.

A minibatch is split into the forward batches that sampling used. Its gradient is the mean over its
samples and over the transitions that are trained, so neither the number of accumulated batches nor
that of transitions changes its size, and `max_gradient_norm` keeps its meaning.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from components.core.diffusion.lora import lora_disabled
from components.core.diffusion.model import TextToImage
from components.core.diffusion.step import Step
from components.ddpo_lora.config import Config
from components.ddpo_lora.loss import kl_to_reference, policy_loss
from components.ddpo_lora.rollout import Rollout, evaluate_transition, parts, trainable_steps

FloatArray = npt.NDArray[np.float64]


class Update:
    """Moves the trainable parameters of `model.unet`; holds the optimizer.

    Attributes:
        parameters: what is trained, by name.
        optimizer: AdamW with a fixed learning rate.
        steps: optimizer steps taken by this object.
    """

    def __init__(self, model: TextToImage, config: Config) -> None:
        self._model = model
        self._config = config
        self.parameters: dict[str, torch.nn.Parameter] = {
            name: parameter
            for name, parameter in model.unet.named_parameters()
            if parameter.requires_grad
        }
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.steps = 0

    def __call__(
        self, rollouts: Sequence[Rollout], advantages: FloatArray, rng: np.random.Generator
    ) -> dict[str, float]:
        """Train on rollouts of N samples in all and their advantages (N,).

        Returns the means, over the optimizer steps, of approx_kl, clip_fraction and gradient_norm.
        """
        config = self._config
        limit = config.advantage_clip
        weights_n = torch.from_numpy(advantages.clip(-limit, limit)).to(self._model.device)
        weights = weights_n.split([len(rollout.prompts) for rollout in rollouts])
        per_step = config.batch_size * config.accumulation // config.forward_batch
        reports = []
        for _ in range(config.inner_epochs):
            order = rng.permutation(len(rollouts))
            for part in parts(len(rollouts), per_step):
                chosen = [(rollouts[index], weights[index]) for index in order[part]]
                reports.append(self._step(chosen, rng))
        return {key: float(np.mean([report[key] for report in reports])) for key in reports[0]}

    def _step(
        self, batches: Sequence[tuple[Rollout, Tensor]], rng: np.random.Generator
    ) -> dict[str, float]:
        """One optimizer step on forward batches with their advantages."""
        self.optimizer.zero_grad(set_to_none=True)
        reports = [
            self._accumulate(rollout, weights_b, transition, share / len(batches))
            for rollout, weights_b in batches
            for transition, share in self.draw_transitions(rng)
        ]
        norm = torch.nn.utils.clip_grad_norm_(
            self.parameters.values(), self._config.max_gradient_norm, error_if_nonfinite=True
        )
        self.optimizer.step()
        self.steps += 1
        kl, clipped = np.mean(reports, axis=0)
        return {"approx_kl": kl, "clip_fraction": clipped, "gradient_norm": float(norm)}

    def draw_transitions(self, rng: np.random.Generator) -> Iterator[tuple[int, float]]:
        """The transitions to train, in random order, each with its share of the mean.

        The gradient of a log-probability grows as the noise of its transition falls, while what
        decides the reward is mostly settled in the noisier ones: with equal shares the last
        transitions drown the others in noise. Shares in proportion to the variance even that out.
        """
        config = self._config
        deviations = trainable_steps(self._model, config.steps, config.smallest_deviation)
        weights = {
            index: std**2 if config.transition_weighting == "variance" else 1.0
            for index, std in deviations.items()
        }
        count = max(1, round(len(weights) * config.train_timestep_fraction))
        mean = float(np.mean(list(weights.values())))
        for transition in rng.permutation(list(weights))[:count]:
            yield int(transition), weights[int(transition)] / (mean * count)

    def _accumulate(
        self, rollout: Rollout, weights_b: Tensor, transition: int, share: float
    ) -> tuple[float, float]:
        """Add `share` of one transition's gradient; returns (approximate KL, clipped share)."""
        config = self._config
        step = self._judge(rollout, transition)
        old_b = rollout.trajectory.log_probs_bs[:, transition]
        result = policy_loss(step.log_prob, old_b, weights_b, config.clip_range)
        loss = result.loss
        if config.kl_coefficient > 0.0:
            with torch.no_grad(), lora_disabled(self._model.unet):
                reference = self._judge(rollout, transition)
            kl = kl_to_reference(step.mean, reference.mean, step.std)
            loss = loss + config.kl_coefficient * kl
        (loss * share).backward()
        return result.approx_kl, result.clip_fraction

    def _judge(self, rollout: Rollout, transition: int) -> Step:
        return evaluate_transition(
            self._model,
            rollout,
            transition,
            guidance=self._config.guidance,
            precision=self._config.precision,
        )
