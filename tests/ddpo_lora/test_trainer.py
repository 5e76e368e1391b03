"""The training loop on a micro model: what it must not get wrong, and that it learns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from components.core.diffusion.lora import add_lora, lora_disabled
from components.core.diffusion.model import TextToImage, load_model
from components.core.platform.tracking import NullTracker
from components.ddpo_lora.advantage import PromptStatistics, Scale, group_advantages
from components.ddpo_lora.clock import Clock
from components.ddpo_lora.config import Config
from components.ddpo_lora.rollout import (
    Rollout,
    draw_prompts,
    evaluate_transition,
    trainable_steps,
)
from components.ddpo_lora.trainer import Trainer
from components.ddpo_lora.training import equip
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, micro_config, micro_model, redness


def trainer(config: Config, work: Path, model: TextToImage | None = None) -> Trainer:
    model = model or micro_model()
    add_lora(model.unet, config.rank)
    return Trainer(model, redness, PROMPTS, HELDOUT, config, work, NullTracker())


def rolled_out(subject: Trainer) -> list[Rollout]:
    return list(subject.roll_out(np.random.default_rng(0), Clock())[1].values())


HALF = {"precision": "bfloat16"}


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        HALF,
        HALF | {"base_precision": "bfloat16"},
        HALF | {"channels_last": True, "gradient_checkpointing": True},
    ],
    ids=["float32", "bfloat16", "base in bfloat16", "laid out and checkpointed"],
)
def test_the_importance_ratio_is_exactly_one_before_an_update(
    tmp_path: Path, guidance: float, changes: dict[str, Any]
) -> None:
    """With an adapter that has learnt something already: a new one would hide its own errors."""
    check_ratios(micro_config(guidance=guidance, **changes), tmp_path)


@pytest.mark.long
def test_the_importance_ratio_of_a_compiled_policy_is_exactly_one(tmp_path: Path) -> None:
    torch.compiler.reset()
    check_ratios(micro_config(guidance=5.0, compile=True, steps=2, **HALF), tmp_path, levels=1)
    assert counters["inductor"]["fxgraph_cache_hit"] + counters["inductor"]["fxgraph_cache_miss"]


def check_ratios(config: Config, work: Path, levels: int = 2) -> None:
    model = micro_model(levels)
    equip(model, config)
    subject = Trainer(model, redness, PROMPTS, HELDOUT, config, work, NullTracker())
    perturb(subject)
    for rollout in rolled_out(subject):
        assert rollout.trajectory.latents_bschw.dtype == torch.float32
        for index in trainable_steps(model, config.steps):
            step = evaluate_transition(
                model, rollout, index, guidance=config.guidance, precision=config.precision
            )
            assert step.log_prob.requires_grad
            old = rollout.trajectory.log_probs_bs[:, index]
            assert torch.equal(step.log_prob.detach(), old)


def perturb(subject: Trainer) -> None:
    """An adapter far enough from zero to change every sample, the same each time."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in subject.update.parameters.values():
            assert parameter.dtype == torch.float32
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize(
    "changes",
    [
        {"channels_last": True},
        {"gradient_checkpointing": True},
        HALF | {"base_precision": "bfloat16"},
    ],
)
def test_other_ways_of_computing_take_the_same_step(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """One update with the same advantages; bfloat16 agrees in direction."""
    moved = []
    for name, given in (("plain", {}), ("other", changes)):
        config, model = micro_config(batch_size=8, heldout_samples=0, **given), micro_model()
        equip(model, config)
        subject = Trainer(model, redness, PROMPTS, HELDOUT, config, tmp_path / name, NullTracker())
        perturb(subject)
        before = vector(subject)
        _, rollouts, _, plan = subject.roll_out(np.random.default_rng(0), Clock())
        subject.update(rollouts, np.split(np.linspace(-2.0, 1.0, 8), 2), plan)
        gradients = [p.grad for p in subject.update.parameters.values()]
        moved.append(torch.cat([g.flatten() for g in gradients if g is not None]))
        assert not torch.equal(before, vector(subject))
    likeness = torch.nn.functional.cosine_similarity(*moved, dim=0)
    assert likeness > (0.9 if "precision" in changes else 1.0 - 1e-5)


def vector(subject: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in subject.update.parameters.values()])


def test_a_rollout_in_another_precision_has_other_ratios(tmp_path: Path) -> None:
    """What the test above would miss if the precision reached neither phase."""
    config, model = micro_config(precision="bfloat16"), micro_model()
    rollout = rolled_out(trainer(config, tmp_path, model))[0]
    step = evaluate_transition(model, rollout, 1, guidance=1.0)
    old = rollout.trajectory.log_probs_bs[:, 1]
    assert (step.log_prob.detach() - old).abs().max() > 1e-4


def test_every_log_prob_is_finite_and_the_noiseless_last_step_is_not_trained(
    tmp_path: Path,
) -> None:
    config, model = micro_config(steps=30, guidance=5.0), micro_model()
    rollout = rolled_out(trainer(config, tmp_path, model))[0]
    assert torch.isfinite(rollout.trajectory.log_probs_bs).all()
    assert list(trainable_steps(model, 30)) == list(range(29))


def test_an_epoch_takes_the_announced_number_of_optimizer_steps(tmp_path: Path) -> None:
    config = micro_config(
        epochs=2,
        steps=2,
        samples_per_epoch=8,
        batch_size=2,
        forward_batch=1,
        accumulation=2,
        inner_epochs=2,
    )
    assert config.optimizer_steps_per_epoch == 8 // (2 * 2) * 2
    subject = trainer(config, tmp_path)
    subject.run()
    assert subject.update.steps == 2 * config.optimizer_steps_per_epoch


def test_only_the_adapter_learns(tmp_path: Path) -> None:
    model = micro_model()
    subject = trainer(micro_config(epochs=1, heldout_samples=0), tmp_path, model)
    before = {name: value.clone() for name, value in model.unet.state_dict().items()}
    subject.run()
    after = model.unet.state_dict()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed
    assert all("lora" in name for name in changed)


def test_accumulating_forward_batches_gives_the_gradient_of_the_whole(tmp_path: Path) -> None:
    """Two forward batches in one step move the weights as the mean of their gradients does."""
    config = micro_config(epochs=1, batch_size=8, forward_batch=4, max_gradient_norm=1e9)
    model = micro_model()
    subject = trainer(config, tmp_path, model)
    rng = np.random.default_rng(0)
    _, rollouts, _, plan = subject.roll_out(rng, Clock())
    advantages = np.linspace(-2.0, 1.0, 8)
    parameters = [p for p in model.unet.parameters() if p.requires_grad]
    total = torch.zeros(())
    for number, rollout in rollouts.items():
        weights = torch.from_numpy(advantages[number * 4 : number * 4 + 4])
        for index in trainable_steps(model, config.steps):
            step = evaluate_transition(model, rollout, index, guidance=1.0)
            total = total - (step.log_prob * weights).mean() / (2 * 3)
    expected = torch.autograd.grad(total, parameters)
    subject.update(rollouts, np.split(advantages, 2), plan)
    for parameter, gradient in zip(parameters, expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient.float(), rtol=1e-3, atol=1e-7)


def test_history_says_what_was_measured_and_when(tmp_path: Path) -> None:
    history = trainer(micro_config(steps=2, epochs=3, heldout_every=2), tmp_path).run()
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    assert [("heldout_reward" in row) for row in history] == [True, False, True, True]
    assert [("train_reward" in row) for row in history] == [True, True, True, False]
    assert set(history[0]["seconds"]) == {"heldout", "sample", "decode", "score", "update"}
    assert history[0]["approx_kl"] < 1e-4


def test_heldout_measurement_is_repeatable(tmp_path: Path) -> None:
    """A policy that cannot move measures the same every time, whatever training drew since."""
    history = trainer(micro_config(epochs=2, learning_rate=1e-30, heldout_every=1), tmp_path).run()
    assert len({row["heldout_reward"] for row in history}) == 1


def test_a_toy_reward_rises(tmp_path: Path) -> None:
    config = micro_config(
        epochs=10, samples_per_epoch=128, batch_size=64, forward_batch=64, steps=3,
        learning_rate=5e-3, clip_range=0.1, statistics_min_count=16,
        heldout_every=8, heldout_samples=64,
    )  # fmt: skip
    history = trainer(config, tmp_path).run()
    spread = history[0]["train_reward_std"]
    assert history[-1]["heldout_reward"] - history[0]["heldout_reward"] > 0.3 * spread
    trained = [row["train_reward"] for row in history[:-1]]
    assert np.mean(trained[-3:]) - trained[0] > 0.3 * spread


def test_the_kl_penalty_keeps_the_policy_near_its_origin(tmp_path: Path) -> None:
    moved = []
    for name, coefficient in (("free", 0.0), ("held", 1e4)):
        model = micro_model()
        config = micro_config(epochs=3, steps=3, heldout_samples=0, kl_coefficient=coefficient)
        subject = trainer(config, tmp_path / name, model)
        subject.run()
        rollout = rolled_out(subject)[0]
        mean = evaluate_transition(model, rollout, 1, guidance=1.0).mean
        with lora_disabled(model.unet):
            origin = evaluate_transition(model, rollout, 1, guidance=1.0).mean
        moved.append((mean - origin).abs().mean().item())
    assert 0.0 < moved[1] < 0.7 * moved[0]


@pytest.mark.parametrize("scale", ["own", "batch"])
def test_group_advantages_reach_the_update(tmp_path: Path, scale: Scale) -> None:
    """Of an epoch's own groups, whatever was rewarded before; the adapter moves by them."""
    config = micro_config(
        advantages="group", samples_per_prompt=4, epochs=2, heldout_samples=0, steps=2,
        advantage_scale=scale,
    )  # fmt: skip
    subject = trainer(config, tmp_path)
    prompts, _, found, _ = subject.roll_out(np.random.default_rng(0), Clock())
    expected = group_advantages(prompts, found.scores["reward"], scale=scale)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate(subject.advantages(prompts, found)), expected)
    for start in (0, 4):
        assert len(set(prompts[start : start + 4])) == 1
        assert expected[start : start + 4].mean() == pytest.approx(0.0, abs=1e-9)
    before = vector(subject)
    subject.run()
    assert not torch.equal(before, vector(subject))


@pytest.mark.parametrize("scale", ["own", "batch"])
def test_remembered_rewards_are_scaled_as_configured(tmp_path: Path, scale: Scale) -> None:
    """Epoch by epoch, as the statistics by themselves."""
    config = micro_config(advantage_scale=scale, samples_per_prompt=4, heldout_samples=0, steps=2)
    subject, alone = trainer(config, tmp_path), PromptStatistics(16, 2, scale)
    rng = np.random.default_rng(0)
    for _ in range(2):
        prompts, _, found, _ = subject.roll_out(rng, Clock())
        expected = alone.advantages(prompts, found.scores["reward"])
        np.testing.assert_array_equal(np.concatenate(subject.advantages(prompts, found)), expected)


@pytest.mark.parametrize("advantages", ["group", "history"])
def test_samples_that_share_a_light_are_compared_among_themselves(
    tmp_path: Path, advantages: str
) -> None:
    """Of three prompts one is drawn twice, and its second draw is seen in another light."""
    config = micro_config(
        advantages=advantages, samples_per_prompt=4, samples_per_epoch=16, batch_size=16,
        statistics_buffer=4, statistics_min_count=4, heldout_samples=0, steps=2,
    )  # fmt: skip
    for shared in (False, True):
        given = Config.model_validate(config.model_dump() | {"shared_light": shared})
        subject = trainer(given, tmp_path / str(shared))
        prompts, _, found, _ = subject.roll_out(np.random.default_rng(0), Clock())
        drawn = prompts[::4]
        again = drawn.index(max(drawn, key=drawn.count))
        found.scores["reward"][4 * again : 4 * again + 4] += 10.0
        means = np.concatenate(subject.advantages(prompts, found)).reshape(4, 4).mean(axis=1)
        assert means[again] == pytest.approx(0.0 if shared else 1.0, abs=1e-2)


def test_latents_are_decoded_in_float32_and_whole_however_the_policy_computes(
    tmp_path: Path,
) -> None:
    """SDXL's decoder overflows in float16, and tiles leave seams that the reward would see."""
    micro_model().save(tmp_path / "model")
    model = load_model(str(tmp_path / "model"), dtype=torch.bfloat16)
    config = micro_config(steps=2, base_precision="bfloat16", **HALF)
    equip(model, config)
    kinds: list[tuple[torch.dtype, tuple[int, ...]]] = []

    def look(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        kinds.append((output.dtype, tuple(output.shape)))

    model.vae.decoder.conv_out.register_forward_hook(look)
    subject = Trainer(model, redness, PROMPTS, HELDOUT, config, tmp_path, NullTracker())
    subject.roll_out(np.random.default_rng(0), Clock())
    assert kinds == [(torch.float32, (4, 3, 32, 32))] * 2
    assert [model.vae.use_tiling, model.vae.use_slicing] == [False, False]
    assert {p.dtype for p in model.vae.parameters()} == {torch.float32}


def test_prompts_are_drawn_evenly_and_in_groups() -> None:
    drawn = draw_prompts(["a", "b", "c"], 12, 2, np.random.default_rng(0))
    assert sorted(drawn) == sorted(["a", "b", "c"] * 4)
    assert all(drawn[i] == drawn[i + 1] for i in range(0, 12, 2))
