"""What an epoch's update will do, drawn before anything is sampled.

The plan says which forward batches make up each optimizer step and which of their transitions are
trained with which share of the gradient. It depends on random numbers and not on rewards, so that
several processes know beforehand which of them will need which samples.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from components.ddpo_lora.config import Config
from components.ddpo_lora.path import window_path
from components.ddpo_lora.rollout import parts

PLANNED = 2048
"""Batches that `passes_per_sample` averages over."""


@dataclass(frozen=True)
class Task:
    """A forward batch of the epoch, and (transition, share of the mean) in training order."""

    batch: int
    transitions: list[tuple[int, float]]


def plan_update(
    batches: int, deviations: Mapping[int, float], config: Config, rng: np.random.Generator
) -> list[list[Task]]:
    """The optimizer steps of an epoch of `batches` forward batches, each a list of tasks.

    deviations: of the transitions that may be trained, see `trainable_steps`.
    """
    per_step = config.batch_size * config.accumulation // config.forward_batch
    steps = []
    for _ in range(config.inner_epochs):
        order = rng.permutation(batches)
        for part in parts(batches, per_step):
            steps.append(
                [Task(int(b), list(draw_transitions(deviations, config, rng))) for b in order[part]]
            )
    return steps


def trained_transitions(steps: list[list[Task]]) -> dict[int, dict[int, float]]:
    """Of each batch, all transitions that the update will train, with their shares of the mean."""
    found: dict[int, dict[int, float]] = {}
    for task in (one for tasks in steps for one in tasks):
        found.setdefault(task.batch, {}).update(task.transitions)
    return found


def passes_per_sample(config: Config) -> float:
    """Forward passes that a sample takes, on average over many plans.

    As if every transition but the last could be trained, whatever `smallest_deviation` says.
    """
    if not config.mixed:
        return float(config.steps)
    transitions = [(config.steps - 1 - i, config.steps - 2 - i) for i in range(config.steps)]
    deviations = dict.fromkeys(range(config.steps - 1), 1.0)
    plan = plan_update(PLANNED, deviations, config, np.random.default_rng(0))
    group = config.samples_per_prompt if config.branch else 1
    found = []
    for trained in trained_transitions(plan).values():
        path = window_path(transitions, trained, config.window_stride)
        found.append(path.before / group + len(path.moves) - path.before)
    return float(np.mean(found))


def owners(steps: list[list[Task]], batches: int, processes: int) -> list[int]:
    """Which process samples and trains each batch: every first-pass step is dealt out evenly."""
    owner: dict[int, int] = {}
    for tasks in steps:
        for place, task in enumerate(tasks):
            owner.setdefault(task.batch, place % processes)
    return [owner[batch] for batch in range(batches)]


def draw_transitions(
    deviations: Mapping[int, float], config: Config, rng: np.random.Generator
) -> Iterator[tuple[int, float]]:
    """The transitions to train, in random order, each with its share of the mean.

    The gradient of a log-probability grows as the noise of its transition falls, while what
    decides the reward is mostly settled in the noisier ones: with equal shares the last
    transitions drown the others in noise. Shares in proportion to the variance even that out.
    """
    weights = {
        index: std**2 if config.transition_weighting == "variance" else 1.0
        for index, std in deviations.items()
    }
    mean = float(np.mean(list(weights.values())))
    order = rng.permutation(list(weights))
    if config.window:
        chosen = draw_window(list(weights), config.window, rng)
        order = np.array([index for index in order if index in chosen])
    else:
        order = order[: max(1, round(len(weights) * config.train_timestep_fraction))]
    for transition in order:
        yield int(transition), weights[int(transition)] / (mean * len(order))


def draw_window(transitions: list[int], size: int, rng: np.random.Generator) -> set[int]:
    """`size` transitions in a row from a random place on; past the last come the first again.

    Wrapping around makes every transition equally likely, so that the gradient of windows is, in
    expectation, that of all transitions; with a `window_stride` above 1, in the states that such
    samples pass through.
    """
    size = min(size, len(transitions))
    start = int(rng.integers(len(transitions)))
    return {transitions[(start + offset) % len(transitions)] for offset in range(size)}
