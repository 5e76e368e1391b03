"""The update: optimizer steps of the LoRA matrices on an epoch's own samples.

A minibatch is split into the forward batches that sampling used. Its gradient is the mean over its
samples and over the transitions that are trained, so neither the number of accumulated batches nor
that of transitions changes its size, and `max_gradient_norm` keeps its meaning. With several
processes each adds the batches it has sampled itself, and the sums are the whole.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from components.core.diffusion.lora import lora_disabled
from components.core.diffusion.model import TextToImage
from components.core.diffusion.step import Step
from components.core.errors import UserError
from components.ddpo_lora.config import Config
from components.ddpo_lora.interruption import Pause, no_pause
from components.ddpo_lora.loss import PolicyLoss, kl_to_reference, policy_loss
from components.ddpo_lora.one_pass import weighted
from components.ddpo_lora.parallel import Group
from components.ddpo_lora.plan import Task
from components.ddpo_lora.rollout import Rollout, evaluate_transition
from components.ddpo_lora.safeguard import NormGuard

FloatArray = npt.NDArray[np.float64]

MEASURES = ("approx_kl", "clip_fraction", "ratio", "ratio_deviation", "reference_kl")
"""Of every transition, averaged; reference_kl only if it is part of the loss."""


class Update:
    """Moves the trainable parameters of `model.unet`; holds the optimizer.

    Attributes:
        parameters: what is trained, by name.
        optimizer: AdamW with a fixed learning rate.
        steps: optimizer steps taken since the run began.
        guard: what refuses gradients that stand out.
    """

    def __init__(
        self,
        model: TextToImage,
        config: Config,
        group: Group | None = None,
        pause: Pause = no_pause,
    ) -> None:
        self._model = model
        self._config = config
        self._group = group or Group()
        self._pause = pause
        self.parameters: dict[str, torch.nn.Parameter] = {
            name: parameter
            for name, parameter in model.unet.named_parameters()
            if parameter.requires_grad
        }
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=config.learning_rate,
            eps=config.adam_epsilon,
            weight_decay=config.weight_decay,
            fused=model.device.type == "cuda",
        )
        self.steps = 0
        self.guard = NormGuard(config.skip_gradients_above)

    def __call__(
        self,
        rollouts: Mapping[int, Rollout],
        advantages: Sequence[FloatArray],
        plan: Sequence[Sequence[Task]],
        *,
        judged: bool = False,
    ) -> dict[str, float]:
        """Train as planned on this process's rollouts, by number, and all batches' advantages.

        Returns the means over the optimizer steps of `MEASURES` and gradient_norm, and
        skipped_steps, the number of steps that the safeguard refused. In one pass the measures take
        passes of their own: there are none unless `judged`, and then those of one forward batch.
        """
        limit = self._config.advantage_clip
        weights = [torch.from_numpy(a.clip(-limit, limit)) for a in advantages]
        if self._config.one_pass:
            (tasks,) = plan
            found = self._measure(rollouts, weights, tasks[0]) if judged else {}
            reports = [found | self._collect(rollouts, weights, tasks)]
        else:
            reports = [self._step(rollouts, weights, tasks) for tasks in plan]
        skipped = sum(report.pop("skipped") for report in reports)
        keys = dict.fromkeys(key for report in reports for key in report)
        means = {
            key: float(np.mean([report[key] for report in reports if key in report]))
            for key in keys
        }
        return means | ({"skipped_steps": skipped} if self.guard.active else {})

    def _step(
        self, rollouts: Mapping[int, Rollout], weights: Sequence[Tensor], tasks: Sequence[Task]
    ) -> dict[str, float]:
        """One optimizer step on the forward batches of `tasks`."""
        self.begin()
        totals, count = np.zeros(len(MEASURES)), 0
        for place, task in enumerate(tasks):
            if place % self._group.size == 0:
                self._pause()
            if task.batch not in rollouts:
                continue  # another process's
            weights_b = weights[task.batch].to(self._model.device)
            rollout, weights_b, kept = without_broken(rollouts[task.batch], weights_b)
            for transition, share in task.transitions if kept else ():
                share_of_all = kept * share / len(tasks)
                totals += self._accumulate(rollout, weights_b, transition, share_of_all)
                count += 1
        report = self._means(totals, count)
        if not report:  # of all processes: there is nothing to learn from
            return {"gradient_norm": 0.0, "skipped": 0.0}
        if self._config.kl_coefficient == 0.0:
            del report["reference_kl"]
        return report | self.descend()

    def _means(self, totals: FloatArray, count: int) -> dict[str, float]:
        """`MEASURES` summed over `count` transitions here, averaged over those of all processes."""
        *sums, everything = self._group.sum([*totals, count])
        if not everything:
            return {}
        return {key: float(value / everything) for key, value in zip(MEASURES, sums, strict=True)}

    def _collect(
        self, rollouts: Mapping[int, Rollout], weights: Sequence[Tensor], tasks: Sequence[Task]
    ) -> dict[str, float]:
        """One optimizer step with the gradient that sampling has left (`one_pass`)."""
        self.begin()
        for task in tasks:
            if task.batch not in rollouts:
                continue
            found = rollouts[task.batch].gradients
            assert found is not None
            scale = -1.0 / (len(weights[task.batch]) * len(tasks))
            weights_b = weights[task.batch].to(self._model.device) * scale
            for name, gradient in weighted(found, weights_b).items():
                parameter = self.parameters[name]
                before = parameter.grad
                parameter.grad = gradient if before is None else before + gradient
        return self.descend()

    def _measure(
        self, rollouts: Mapping[int, Rollout], weights: Sequence[Tensor], task: Task
    ) -> dict[str, float]:
        """`MEASURES` of one forward batch, by the process that has it, without a gradient."""
        totals, count = np.zeros(len(MEASURES)), 0
        if task.batch in rollouts:
            weights_b = weights[task.batch].to(self._model.device)
            rollout, weights_b, kept = without_broken(rollouts[task.batch], weights_b)
            with torch.no_grad():
                for transition, _ in task.transitions if kept else ():
                    step = self._judge(rollout, transition)
                    totals += measures(self._surrogate(step, rollout, weights_b, transition))
                    count += 1
        report = self._means(totals, count)
        report.pop("reference_kl", None)
        return report

    def begin(self) -> None:
        """Forget the gradient of the step before."""
        self.optimizer.zero_grad(set_to_none=True)

    def descend(self) -> dict[str, float]:
        """Take an optimizer step with the gradients that the processes have collected.

        Returns gradient_norm, and skipped, 1 if the safeguard refused the step.
        """
        self._group.sum_gradients(self.parameters.values())
        norm = float(
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), self._config.max_gradient_norm)
        )
        accepted = self.guard.accepts(norm)
        if accepted:
            if not np.isfinite(norm):
                raise UserError(
                    f"the gradient is {norm}: lower ddpo_lora.learning_rate, or set "
                    "ddpo_lora.skip_gradients_above to leave such steps out"
                )
            self.optimizer.step()
            self.steps += 1
            self._group.check_equal(self.parameters.values())
        finite = norm if np.isfinite(norm) else float("nan")
        return {"gradient_norm": finite, "skipped": float(not accepted)}

    def _accumulate(
        self, rollout: Rollout, weights_b: Tensor, transition: int, share: float
    ) -> FloatArray:
        """Add `share` of one transition's gradient; returns its `MEASURES`."""
        config = self._config
        step = self._judge(rollout, transition)
        result = self._surrogate(step, rollout, weights_b, transition)
        loss, reference_kl = result.loss, 0.0
        if config.kl_coefficient > 0.0:
            with torch.no_grad(), lora_disabled(self._model.unet):
                reference = self._judge(rollout, transition)
            kl = kl_to_reference(step.mean, reference.mean, step.std)
            loss, reference_kl = loss + config.kl_coefficient * kl, kl.item()
        (loss * share).backward()
        return measures(result, reference_kl)

    def _surrogate(
        self, step: Step, rollout: Rollout, weights_b: Tensor, transition: int
    ) -> PolicyLoss:
        """The loss of a transition that is judged as `step`."""
        old_b = rollout.trajectory.log_probs_bs[:, rollout.columns[transition]]
        return policy_loss(step.log_prob, old_b, weights_b, self._config.clip_range)

    def _judge(self, rollout: Rollout, transition: int) -> Step:
        return evaluate_transition(
            self._model,
            rollout,
            transition,
            guidance=self._config.guidance,
            precision=self._config.precision,
        )


def measures(result: PolicyLoss, reference_kl: float = 0.0) -> FloatArray:
    """`MEASURES` of one transition of a forward batch."""
    deviation = (result.ratio_b - 1.0).abs().max().item()
    ratio = result.ratio_b.mean().item()
    return np.array([result.approx_kl, result.clip_fraction, ratio, deviation, reference_kl])


def without_broken(rollout: Rollout, weights_b: Tensor) -> tuple[Rollout, Tensor, float]:
    """Leave out trajectories of weight (B,) 0 that are not finite; what is left, and its share.

    In a pass with others their NaN would reach the adapter whatever their weight. A dropped sample
    that is finite stays: forward batches as they were sampled keep the ratio exactly 1.
    """
    if bool((weights_b != 0).all()):
        return rollout, weights_b, 1.0
    finite, weighty = rollout.finite_rows(), weights_b.nonzero().flatten().tolist()
    rows = sorted({*finite, *weighty})
    if len(rows) == len(weights_b):
        return rollout, weights_b, 1.0
    return rollout[rows], weights_b[rows], len(rows) / len(weights_b)
