"""Ways on which the policy chooses in a window only: what they cover, cost and share."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from components.core.diffusion.lora import add_lora
from components.core.diffusion.sampler import sample_trajectory
from components.core.platform.tracking import NullTracker
from components.ddpo_lora.clock import Clock
from components.ddpo_lora.path import full_path, sample_path, window_path
from components.ddpo_lora.plan import passes_per_sample, trained_transitions
from components.ddpo_lora.rollout import evaluate_transition
from components.ddpo_lora.trainer import Trainer
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, micro_config, micro_model, redness
from tests.ddpo_lora.test_trainer import perturb

STEPS = 10
MIXED = {
    "window": 2, "window_stride": 3, "branch": True, "samples_per_prompt": 2, "shared_light": True,
}  # fmt: skip


def transitions() -> list[tuple[int, int]]:
    return micro_model().schedule.transitions(STEPS)


@pytest.mark.parametrize("stride", [1, 2, 3, 20])
@pytest.mark.parametrize("trained", [{0, 1}, {3, 4}, {8, 0}, {7, 8}, {2, 5}])
def test_a_path_leads_from_noise_to_image_through_what_is_trained(
    trained: Collection[int], stride: int
) -> None:
    full = transitions()
    path = window_path(full, trained, stride)
    pairs = [(move.t, move.t_prev) for move in path.moves]
    assert (pairs[0][0], pairs[-1][1]) == (full[0][0], -1)
    assert all(one[1] == two[0] for one, two in itertools.pairwise(pairs))
    assert set(path.columns) == set(trained)
    for transition, column in path.columns.items():
        assert pairs[column] == full[transition]
        assert path.moves[column].eta == 1.0
    free = [move for i, move in enumerate(path.moves) if i not in path.columns.values()]
    assert {move.eta for move in free} <= ({1.0} if stride == 1 else {0.0})
    times = [t for t, _ in full] + [-1]
    assert max(times.index(m.t_prev) - times.index(m.t) for m in path.moves) <= stride


def test_the_full_path_is_what_sampling_does() -> None:
    model = micro_model()
    embeds = model.encode_prompts(PROMPTS)
    plain = sample_trajectory(model, embeds, [4, 5, 6], steps=STEPS, guidance=2.0)
    ours = sample_path(model, embeds, [4, 5, 6], full_path(transitions()), guidance=2.0)
    assert torch.equal(plain.latents_bschw, ours.latents_bschw)
    assert torch.equal(plain.log_probs_bs, ours.log_probs_bs)


@pytest.mark.parametrize("stride", [1, 2])
def test_samples_of_a_group_share_what_comes_before_the_window_and_nothing_else(
    stride: int,
) -> None:
    model = micro_model()
    embeds = model.encode_prompts([PROMPTS[0]] * 2 + [PROMPTS[1]] * 2)
    path = window_path(transitions(), {4, 5}, stride)
    calls = Counter(model.unet)
    states = sample_path(model, embeds, [1, 2, 3, 4], path, guidance=1.0, group=2).latents_bschw
    assert path.before == (4 if stride == 1 else 2)
    assert torch.equal(states[0, : path.before + 1], states[1, : path.before + 1])
    for place in range(path.before + 1, states.shape[1]):
        assert not torch.equal(states[0, place], states[1, place])
    assert not torch.equal(states[0, 0], states[2, 0])
    # Two heads for what is shared, four samples for the rest.
    assert calls.samples == 2 * path.before + 4 * (len(path.moves) - path.before)
    # The second one's own noise, not the first one's: another second makes another sample.
    other = sample_path(model, embeds, [1, 9, 3, 4], path, guidance=1.0, group=2).latents_bschw
    assert torch.allclose(states[[0, 2, 3]], other[[0, 2, 3]], atol=1e-5)
    assert not torch.allclose(states[1], other[1], atol=1e-2)


@pytest.mark.parametrize("inner_epochs", [1, 3])
def test_passes_are_counted_as_training_makes_them(tmp_path: Path, inner_epochs: int) -> None:
    changes = {"samples_per_epoch": 64, "heldout_samples": 0, "inner_epochs": inner_epochs}
    config = micro_config(steps=STEPS, **MIXED, **changes)
    model = micro_model()
    add_lora(model.unet, config.rank)
    subject = Trainer(model, redness, PROMPTS, HELDOUT, config, tmp_path, NullTracker())
    calls = Counter(model.unet)
    for number in range(6):
        subject.roll_out(np.random.default_rng(number), Clock())
    assert passes_per_sample(config) == pytest.approx(calls.samples / 6 / 64, rel=0.05)
    plain = config.model_copy(update={"window_stride": 1, "branch": False})
    assert passes_per_sample(plain) == STEPS > passes_per_sample(config)


class Counter:
    """Counts the samples that pass a module."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.samples = 0
        module.register_forward_pre_hook(self._add)

    def _add(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.samples += len(inputs[0])


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize("inner_epochs", [1, 3])
def test_the_ratio_is_exactly_one_in_every_window(
    tmp_path: Path, guidance: float, inner_epochs: int
) -> None:
    config = micro_config(steps=STEPS, guidance=guidance, inner_epochs=inner_epochs, **MIXED)
    model = micro_model()
    add_lora(model.unet, config.rank)
    subject = Trainer(model, redness, PROMPTS, HELDOUT, config, tmp_path, NullTracker())
    perturb(subject)
    _, rollouts, _, plan = subject.roll_out(np.random.default_rng(0), Clock())
    trained = trained_transitions(plan)
    assert len(trained) == len(rollouts) == 2
    for number, rollout in rollouts.items():
        windows = [t.transitions for tasks in plan for t in tasks if t.batch == number]
        assert len(windows) == inner_epochs
        assert {i for window in windows for i, _ in window} == set(rollout.columns)
        assert rollout.trajectory.latents_bschw.shape[1] <= STEPS
        for index, column in rollout.columns.items():
            step = evaluate_transition(model, rollout, index, guidance=guidance)
            assert torch.equal(step.log_prob.detach(), rollout.trajectory.log_probs_bs[:, column])


@pytest.mark.parametrize(
    "changes",
    [
        {"window_stride": 2},
        {"branch": True, "samples_per_prompt": 2, "shared_light": True},
        {"window": 2, "branch": True, "shared_light": True},
        {"window": 2, "branch": True, "samples_per_prompt": 8, "shared_light": True},
        {"window": 2, "branch": True, "samples_per_prompt": 2},
        {"window": 2, "window_stride": 2, "method": "direct"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"window|branch"):
        micro_config(**changes)
