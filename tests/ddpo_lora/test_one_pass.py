"""Gradients collected in sampling: those of each sample, and the step that a second pass takes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from components.core.diffusion.lora import add_lora
from components.core.platform.tracking import NullTracker
from components.ddpo_lora.clock import Clock
from components.ddpo_lora.config import Config
from components.ddpo_lora.one_pass import SampleGradients, weighted
from components.ddpo_lora.rollout import Rollout, evaluate_transition
from components.ddpo_lora.trainer import Trainer
from components.ddpo_lora.training import equip
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, micro_config, micro_model, redness
from tests.ddpo_lora.test_trainer import perturb, vector

ONE_STEP = {"batch_size": 4, "accumulation": 2, "heldout_samples": 0}
"""An epoch of micro_config in one optimizer step."""
HALF = {"precision": "bfloat16"}


def trainer(work: Path, **changes: Any) -> Trainer:
    config, model = micro_config(**(ONE_STEP | changes)), micro_model()
    equip(model, config)
    subject = Trainer(model, redness, PROMPTS, HELDOUT, config, work, NullTracker())
    perturb(subject)
    return subject


def rolled_out(subject: Trainer) -> tuple[dict[int, Rollout], Any]:
    _, rollouts, _, plan = subject.roll_out(np.random.default_rng(0), Clock())
    return rollouts, plan


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_each_samples_gradient_is_that_of_its_own_log_probability(
    tmp_path: Path, guidance: float
) -> None:
    """Against autograd, one sample and one transition after the other."""
    subject = trainer(tmp_path, guidance=guidance, one_pass=True, transition_weighting="variance")
    rollouts, plan = rolled_out(subject)
    parameters, model = subject.update.parameters, subject.policy.model
    for task in plan[0]:
        rollout = rollouts[task.batch]
        assert rollout.gradients is not None
        for row in range(4):
            expected = {name: torch.zeros_like(p) for name, p in parameters.items()}
            for index, share in task.transitions:
                step = evaluate_transition(model, rollout, index, guidance=guidance)
                found = torch.autograd.grad(step.log_prob[row], list(parameters.values()))
                for name, gradient in zip(parameters, found, strict=True):
                    expected[name] += share * gradient
            for name, each in expected.items():
                torch.testing.assert_close(rollout.gradients[name][row], each, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"guidance": 3.0, "lights_per_sample": 1},
        {"guidance": 3.0, "gradient_checkpointing": True, "channels_last": True},
        {"window": 2, "window_stride": 2, "branch": True, "samples_per_prompt": 2,
         "shared_light": True},
        {"train_timestep_fraction": 0.5},
        HALF | {"guidance": 3.0},
        HALF | {"gradient_checkpointing": True, "base_precision": "bfloat16"},
    ],
    ids=["plain", "guidance", "checkpointed", "window", "half of the steps", "bfloat16", "base"],
)  # fmt: skip
def test_an_update_is_that_of_a_second_pass(tmp_path: Path, changes: dict[str, Any]) -> None:
    """The same samples, bit by bit, and the same gradient; of a smaller type in direction."""
    moved, states = [], []
    for one_pass in (True, False):
        subject = trainer(tmp_path / str(one_pass), one_pass=one_pass, **changes)
        rollouts, plan = rolled_out(subject)
        states.append(torch.cat([rollouts[n].trajectory.latents_bschw for n in sorted(rollouts)]))
        before = vector(subject)
        report = subject.update(rollouts, np.split(np.linspace(-2.0, 1.0, 8), 2), plan)
        assert report.get("ratio") == (None if one_pass else 1.0)
        gradients = [p.grad for p in subject.update.parameters.values()]
        moved.append(torch.cat([g.flatten() for g in gradients if g is not None]))
        assert not torch.equal(before, vector(subject))
    assert torch.equal(*states)
    likeness = torch.nn.functional.cosine_similarity(*moved, dim=0)
    assert likeness > (0.995 if "precision" in changes else 1.0 - 1e-5)
    assert moved[0].norm() == pytest.approx(
        float(moved[1].norm()), rel=0.02 if "precision" in changes else 1e-4
    )


def test_a_run_learns_the_same_in_fewer_passes(tmp_path: Path) -> None:
    histories, adapters, passes = [], [], []
    for one_pass in (True, False):
        subject = trainer(tmp_path / str(one_pass), one_pass=one_pass, epochs=3)
        count = 0

        def counted(*_: Any) -> None:
            nonlocal count
            count += 1

        subject.policy.model.unet.register_forward_pre_hook(counted)
        histories.append([row["train_reward"] for row in subject.run()[:-1]])
        adapters.append(vector(subject))
        passes.append(count)
    np.testing.assert_allclose(*histories, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(*adapters, rtol=1e-3, atol=1e-4)
    assert passes == [3 * 2 * 4, 3 * 2 * (4 + 3)]  # the last transition has nothing to choose


def test_a_dropped_sample_leaves_nothing_behind() -> None:
    gradients = {"a": torch.tensor([[1.0, 2.0], [float("nan"), 0.0], [10.0, 20.0]])}
    found = weighted(gradients, torch.tensor([1.0, 0.0, -0.5], dtype=torch.float64))
    torch.testing.assert_close(found["a"], torch.tensor([-4.0, -8.0]))


def test_what_is_measured_in_one_pass_is_of_one_batch_and_changes_nothing(tmp_path: Path) -> None:
    """A policy that has moved since it sampled, judged transition by transition; the same step."""
    moved, reports = [], []
    for judged in (False, True):
        subject = trainer(tmp_path / str(judged), one_pass=True, clip_range=1e-6)
        rollouts, (tasks,) = rolled_out(subject)
        perturb(subject)
        found = []
        for index, _ in tasks[0].transitions:
            step = evaluate_transition(
                subject.policy.model, rollouts[tasks[0].batch], index, guidance=1.0
            )
            old = rollouts[tasks[0].batch].trajectory.log_probs_bs[:, index]
            found.append((step.log_prob.double() - old.double()).detach())
        advantages = np.split(np.linspace(-2.0, 1.0, 8), 2)
        reports.append(subject.update(rollouts, advantages, [tasks], judged=judged))
        moved.append(vector(subject))
    assert torch.equal(*moved)
    log_ratios = torch.stack(found)
    ratios = log_ratios.exp()
    assert (ratios - 1.0).abs().max() > 1e-4
    assert set(reports[1]) - set(reports[0]) == {
        "ratio", "ratio_deviation", "approx_kl", "clip_fraction",
    }  # fmt: skip
    expected = {
        "ratio": ratios.mean(),
        "ratio_deviation": (ratios - 1.0).abs().max(dim=1).values.mean(),
        "approx_kl": log_ratios.square().mean() / 2.0,
        "clip_fraction": ((ratios - 1.0).abs() > 1e-6).double().mean(),
    }
    for name, value in expected.items():
        assert reports[1][name] == pytest.approx(float(value), rel=1e-6), name


def test_a_run_in_one_pass_measures_its_ratio_with_its_heldout_samples(tmp_path: Path) -> None:
    history = trainer(
        tmp_path, one_pass=True, epochs=3, heldout_every=2, heldout_samples=4, steps=3
    ).run()
    assert [row.get("ratio") for row in history] == [1.0, None, 1.0, None]
    assert history[0]["ratio_deviation"] == history[0]["approx_kl"] == 0.0


def test_hooks_go_with_the_rollout_and_a_pass_without_gradient_is_not_noted() -> None:
    model = micro_model()
    add_lora(model.unet, 2)
    hooks = [layer for layer in model.unet.modules() if layer._forward_hooks]
    with SampleGradients(model.unet, 2) as own, torch.no_grad():
        velocity, = model.unet(
            torch.zeros(2, *model.latent_shape), torch.tensor([5, 5]),
            encoder_hidden_states=model.encode_prompts(PROMPTS[:2]).tokens_bld,
            added_cond_kwargs={
                "text_embeds": model.encode_prompts(PROMPTS[:2]).pooled_bd,
                "time_ids": torch.zeros(2, 6),
            },
            return_dict=False,
        )  # fmt: skip
    assert not velocity.requires_grad
    assert not any(gradient.any() for gradient in own.gradients.values())
    assert [layer for layer in model.unet.modules() if layer._forward_hooks] == hooks


def test_what_else_could_be_trained_is_refused() -> None:
    model = micro_model()
    model.unet.conv_out.weight.requires_grad_(True)
    with pytest.raises(ValueError, match=r"linear layers only, not conv_out\.weight"):
        SampleGradients(model.unet, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner_epochs": 2, **ONE_STEP}, "one optimizer step an epoch"),
        ({"accumulation": 1}, "one optimizer step an epoch"),
        ({"kl_coefficient": 0.1, **ONE_STEP}, "kl_coefficient"),
        ({"compile": True, **ONE_STEP}, "compile"),
        ({"method": "direct", **ONE_STEP}, "ddpo"),
    ],
)
def test_settings_that_one_pass_cannot_serve_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Config.model_validate(micro_config().model_dump() | changes | {"one_pass": True})
