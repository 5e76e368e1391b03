"""How sure a policy gradient is of its direction, by what may be chosen about the update:

    python -m tests.benchmarks.ddpo_signal --samples 512 --run runs/laptop

One set of samples of the untrained policy serves all: their gradients, transition by transition,
are kept and weighed in every way. Two groups of samples are independent, so that the inner product
of their gradients is, in the mean, the squared length of the true gradient, in the metric of the
optimizer. Printed is that mean in units of its standard deviation for a gradient of 0: it grows
with the number of samples. A figure has itself a deviation of 1: two sets of 512 (`--set seed=1`)
may rank the choices differently. Without artifacts model, reward and prompts are made as in
ddpo_learning.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from components.core.diffusion.model import load_model
from components.core.realism.reward import REWARD, RewardFunction
from components.ddpo_lora.advantage import Scale, group_advantages
from components.ddpo_lora.config import Config
from components.ddpo_lora.one_pass import SampleGradients
from components.ddpo_lora.path import full_path, sample_path
from components.ddpo_lora.policy import Policy
from components.ddpo_lora.prompts import Prompts
from components.ddpo_lora.rollout import autocast
from components.ddpo_lora.training import equip
from pipelines.recipe import load_recipe
from tests.benchmarks.ddpo_learning import add_artifacts, collaborators

FloatArray = npt.NDArray[np.float64]

SCALES: tuple[Scale, ...] = ("own", "batch")
WEIGHTINGS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "uniform": torch.ones_like,
    "deviation": torch.clone,
    "variance": torch.square,
    "variance^2": lambda deviations_s: deviations_s**4,
}
METRICS: Mapping[str, float] = {"AdamW": -0.5, "SGD": 0.0}
"""Power of each parameter's mean square gradient by which an optimizer multiplies the gradient."""


@dataclass(frozen=True)
class Samples:
    """gradients: (N, S, P) of the log-probability of each trained transition. deviations: (S,) of
    their noise. rewards: (N,). prompts: N names, the samples of a group in a row."""

    gradients_nsp: Tensor
    deviations_s: Tensor
    rewards_n: FloatArray
    prompts: tuple[str, ...]


def signal(gradients_gp: Tensor, power: float) -> float:
    """How many standard deviations the mean inner product of two of G gradients is above 0.

    power: see `METRICS`.
    """
    squares_p = gradients_gp.square().mean(dim=0)
    metric_p = (squares_p + torch.finfo(squares_p.dtype).tiny) ** power
    products = (gradients_gp * metric_p) @ gradients_gp.T
    count = len(products)
    pairs = products[torch.triu(torch.ones(count, count, dtype=torch.bool), diagonal=1)].double()
    return float(pairs.mean() / pairs.square().mean().sqrt() * len(pairs) ** 0.5)


def gradients_of_groups(samples: Samples, weights_s: Tensor, scale: Scale, size: int) -> Tensor:
    """The policy gradient (N / size, P) of each group of `size` samples in a row."""
    draws = [number // size for number in range(len(samples.rewards_n))]
    advantages = group_advantages(samples.prompts, samples.rewards_n, draws, scale)
    by_sample = torch.einsum("nsp,s->np", samples.gradients_nsp.float(), weights_s.float())
    weighted = by_sample * torch.from_numpy(advantages).float()[:, None]
    return weighted.unflatten(0, (-1, size)).sum(dim=1)


def take_samples(
    config: Config, model: Any, reward: RewardFunction, prompts: Prompts, count: int
) -> Samples:
    """`count` samples of the untrained policy in groups under one light each, as an epoch's."""
    policy, rng = Policy(model, prompts.train, config), np.random.default_rng(config.seed)
    size, batch = config.samples_per_prompt, config.forward_batch
    groups = [prompts.train[number % len(prompts.train)] for number in range(count // size)]
    names = [prompt for prompt in groups for _ in range(size)]
    found, rewards = [], []
    for start in range(0, count, batch):
        part = names[start : start + batch]
        gradients, grids = sample_with_gradients(config, policy, part, rng)
        found.append(gradients)
        rewards.append(np.asarray(reward(grids, rng, config.lights_per_sample, size)[REWARD]))
        print(f"{start + len(part)} of {count} samples", end="\r", flush=True)
    deviations = torch.tensor(list(policy.deviations.values()))
    return Samples(
        torch.cat(found), deviations, np.concatenate(rewards).astype(float), tuple(names)
    )


def sample_with_gradients(
    config: Config, policy: Policy, prompts: list[str], rng: np.random.Generator
) -> tuple[Tensor, npt.NDArray[np.float32]]:
    """One forward batch: gradients (B, S, P), in half precision to save memory, and grids."""
    model = policy.model
    path = full_path(model.schedule.transitions(config.steps))
    seeds = [int(seed) for seed in rng.integers(2**62, size=len(prompts))]
    kept: dict[int, Tensor] = {}
    with (
        torch.no_grad(),
        autocast(model, config.precision),
        SampleGradients(model.unet, len(prompts)) as own,
    ):

        def learn(index: int, log_probs_b: Tensor) -> None:
            own.gradients = {name: torch.zeros_like(each) for name, each in own.gradients.items()}
            own.add(log_probs_b, 1.0)
            # The other matrix of an untrained adapter has no gradient, as this one is 0.
            rows = [each.flatten(1) for name, each in own.gradients.items() if "lora_B" in name]
            kept[index] = torch.cat(rows, dim=1).half()

        taught = {index: partial(learn, index) for index in policy.deviations}
        embeds = policy.embeds(prompts)
        trajectory = sample_path(model, embeds, seeds, path, guidance=config.guidance, learn=taught)
    return torch.stack(list(kept.values()), dim=1), policy.decode(trajectory.final_bchw)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options; those of artifacts are folders in a run's store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    add_artifacts(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> dict[tuple[str, str, str], float]:
    """Print the table of signals; return it by weighting, scale and optimizer."""
    given = parse(arguments)
    config = load_recipe("laptop", [f"ddpo_lora.{change}" for change in given.changes]).ddpo_lora
    name, reward, prompts = collaborators(given, config)
    model = load_model(name)
    torch.manual_seed(config.seed)
    equip(model, config)
    samples = take_samples(config, model, reward, prompts, given.samples)
    print(f"{'':12} {'':6} " + " ".join(f"{metric:>6}" for metric in METRICS))
    table = {}
    for weighting, weights in WEIGHTINGS.items():
        for scale in SCALES:
            groups = gradients_of_groups(
                samples, weights(samples.deviations_s), scale, config.samples_per_prompt
            )
            row = {metric: signal(groups, power) for metric, power in METRICS.items()}
            print(f"{weighting:12} {scale:6} " + " ".join(f"{z:6.2f}" for z in row.values()))
            table |= {(weighting, scale, metric): z for metric, z in row.items()}
    return table


if __name__ == "__main__":
    main()
