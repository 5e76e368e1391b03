"""What skips or ends: gradients that stand out, a falling gold reward, unusable rewards."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.core.diffusion.lora import add_lora
from components.core.errors import UserError
from components.core.platform.tracking import NullTracker
from components.core.realism.reward import RewardFunction
from components.ddpo_lora.clock import Clock
from components.ddpo_lora.early_stop import EarlyStop, fell
from components.ddpo_lora.rollout import evaluate_transition
from components.ddpo_lora.safeguard import NormGuard
from components.ddpo_lora.trainer import Trainer
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, micro_config, micro_model, redness
from tests.ddpo_lora.real import real_reward


def trainer(work: Path, reward: RewardFunction = redness, **changes: Any) -> Trainer:
    model, config = micro_model(), micro_config(steps=2, **changes)
    add_lora(model.unet, config.rank)
    return Trainer(model, reward, PROMPTS, HELDOUT, config, work, NullTracker())


def weights(subject: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in subject.update.parameters.items()}


def test_a_norm_far_above_the_usual_is_refused_until_it_is_usual() -> None:
    guard = NormGuard(4.0)
    assert all(guard.accepts(norm) for norm in [50.0, 1.0, 2.0, 1.0, 1.0, 2.0, 1.0, 1.0])
    assert guard.accepts(3.9)
    assert not guard.accepts(9.0)
    assert not guard.accepts(float("nan"))
    again = NormGuard(4.0)
    again.restore(guard.state())
    assert not again.accepts(9.0)
    for _ in range(40):
        again.accepts(9.0)
    assert again.accepts(9.0)


def test_without_a_factor_nothing_is_refused() -> None:
    guard = NormGuard(0.0)
    assert all(guard.accepts(norm) for norm in [1.0] * 10 + [1e9])


def test_a_skipped_step_leaves_weights_and_moments(tmp_path: Path) -> None:
    subject = trainer(tmp_path, skip_gradients_above=2.0)
    _, rollouts, _, plan = subject.roll_out(np.random.default_rng(0), Clock())
    advantages = [np.linspace(-1.0, 1.0, 4)] * 2
    before = weights(subject)
    subject.update.guard.restore([1e-9] * 32)
    assert subject.update(rollouts, advantages, plan)["skipped_steps"] == 2.0
    assert all(torch.equal(before[name], value) for name, value in weights(subject).items())
    assert not subject.update.optimizer.state
    subject.update.guard.restore([1e9] * 32)
    assert subject.update(rollouts, advantages, plan)["skipped_steps"] == 0.0
    assert subject.update.steps == 2


def test_falling_is_judged_sample_by_sample_and_beyond_noise() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=64)
    assert fell(start, start - 0.05 + 0.01 * rng.normal(size=64))
    assert not fell(start, start + rng.normal(size=64) * 0.5)
    assert not fell(start, start + 0.05)
    assert fell([1.0, 2.0, 3.0, np.nan], [0.0, 1.1, 2.0, 9.0])
    assert not fell([1.0], [0.0])


def test_patience_counts_measurements_in_a_row_and_survives_a_restart() -> None:
    start, low = np.arange(8.0), np.arange(8.0) - np.linspace(0.9, 1.1, 8)
    stop = EarlyStop(2)
    assert stop.observe(start)
    assert not stop.observe(low)
    assert stop.observe(start + 1.0)
    stop.observe(low)
    again = EarlyStop(2)
    again.restore(stop.state())
    assert not again.over
    again.observe(low)
    assert again.over
    assert again.best == pytest.approx(start + 1.0)


def test_rising_and_falling_back_is_a_fall() -> None:
    """Though the scores end where they began."""
    start, stop = np.arange(8.0), EarlyStop(1)
    assert stop.observe(start)
    assert stop.observe(start + 1.0)
    assert stop.ends_behind(start)
    assert not EarlyStop(2, stop.best).ends_behind(start)
    assert not stop.observe(start)
    assert stop.over


def test_the_best_is_judged_on_the_samples_that_both_measurements_have() -> None:
    """A lost sample of a high score makes the mean fall, and one of a low score makes it rise."""
    stop = EarlyStop(1)
    assert stop.observe([0.0, 1.0, 2.0, 9.0])
    assert stop.observe([0.1, 1.1, 2.1, np.nan])
    assert not stop.observe([np.nan, 1.0, 2.0, 8.0])


def hacked(grids_nhwc: Any, rng: np.random.Generator, *_: int) -> dict[str, Any]:
    """The reward wants red; the gold scorer dislikes nothing more."""
    red = redness(grids_nhwc, rng)["reward"]
    return {"reward": red, "gold": -red}


def test_hacking_the_reward_ends_the_run_with_the_best_adapter(tmp_path: Path) -> None:
    subject = trainer(
        tmp_path, hacked, epochs=12, samples_per_epoch=32, batch_size=16, forward_batch=16,
        learning_rate=2e-2, clip_range=0.1, heldout_every=1, heldout_samples=32, stop_patience=2,
    )  # fmt: skip
    before = weights(subject)
    history = subject.run()
    gold = [row["heldout_gold_reward"] for row in history]
    assert len(history) < 13
    assert history[-2]["stopped"] == 1.0
    assert gold[-1] == pytest.approx(max(gold), abs=1e-9)
    assert gold[-2] < gold[0]
    best = int(np.argmax(gold[:-1]))
    unmoved = all(torch.equal(before[name], value) for name, value in weights(subject).items())
    assert unmoved == (best == 0)


@pytest.mark.parametrize("fallen", [False, True])
def test_a_fall_in_the_last_measurement_does_not_reach_the_result(
    tmp_path: Path, fallen: bool
) -> None:
    """Nothing is measured between the start and the end; the adapter moves in either case."""
    measured = 0

    def reward(grids_nhwc: Any, *_: Any) -> dict[str, Any]:
        nonlocal measured
        measured += len(grids_nhwc) == 6
        gold = np.arange(len(grids_nhwc)) - float(fallen and measured == 2)
        return {"reward": grids_nhwc.mean(axis=(1, 2, 3)), "gold": gold}

    subject = trainer(tmp_path, reward, epochs=2, heldout_every=9, heldout_samples=6,
                      stop_patience=1)  # fmt: skip
    before = weights(subject)
    history = subject.run()
    unmoved = all(torch.equal(before[name], value) for name, value in weights(subject).items())
    assert unmoved == fallen
    assert history[-1].get("restored") == (1.0 if fallen else None)
    assert measured == (3 if fallen else 2)
    assert len(history) == 3


def test_an_early_stop_that_could_see_nothing_is_refused(tmp_path: Path) -> None:
    model, config = micro_model(), micro_config(steps=2, stop_patience=1)
    add_lora(model.unet, config.rank)
    with pytest.raises(UserError, match="needs held-out prompts, but there are none"):
        Trainer(model, redness, PROMPTS, [], config, tmp_path, NullTracker())

    def blind(grids_nhwc: Any, *_: Any) -> dict[str, Any]:
        return {"reward": grids_nhwc.mean(axis=(1, 2, 3))}

    with pytest.raises(UserError, match="needs gold scores, but this reward gives none"):
        trainer(tmp_path, blind, stop_patience=1).run()


def test_lost_heldout_samples_are_counted_and_have_no_change(tmp_path: Path) -> None:
    """Sample 1 is lost at first: nobody knows what it has changed since."""
    measured = 0

    def reward(grids_nhwc: Any, *_: Any) -> dict[str, Any]:
        nonlocal measured
        if len(grids_nhwc) != 6:
            return {"reward": grids_nhwc.mean(axis=(1, 2, 3))}
        values = np.arange(6.0) * (1 + measured) + measured
        values[1] = [np.nan, 5.0, 8.0][measured]
        measured += 1
        return {"reward": values, "gold": -values}

    subject = trainer(tmp_path, reward, epochs=2, heldout_every=1, heldout_samples=6)
    rows = subject.run()
    assert [row["heldout_dropped"] for row in rows] == [1.0, 0.0, 0.0]
    others = np.array([0.0, 2.0, 3.0, 4.0, 5.0])
    assert rows[1]["heldout_change"] == pytest.approx(np.mean(others + 1.0))
    assert rows[2]["heldout_change"] == pytest.approx(np.mean(2.0 * others + 2.0))
    assert rows[2]["heldout_gold_change"] == pytest.approx(-rows[2]["heldout_change"])
    assert rows[2]["heldout_gold_change_high"] == pytest.approx(-rows[2]["heldout_change_low"])


def test_too_many_lost_heldout_samples_end_the_run(tmp_path: Path) -> None:
    def reward(grids_nhwc: Any, *_: Any) -> dict[str, Any]:
        lost = len(grids_nhwc) == 6
        return {"reward": grids_nhwc.mean(axis=(1, 2, 3)) * (np.nan if lost else 1.0)}

    with pytest.raises(UserError, match=r"6 of 6 held-out samples have no reward.*not finite"):
        trainer(tmp_path, reward, heldout_samples=6).run()


@pytest.mark.parametrize("changes", [{}, {"advantages": "group", "samples_per_prompt": 4}])
@pytest.mark.parametrize("value", [0.3, 0.35])
def test_equal_rewards_change_nothing_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float, changes: dict[str, Any]
) -> None:
    def equal(grids_nhwc: Any, *_: Any) -> dict[str, Any]:
        return {"reward": np.full(len(grids_nhwc), value)}

    subject = trainer(tmp_path, equal, epochs=2, **changes)
    before = weights(subject)
    history = subject.run()
    assert [row.get("no_gradient") for row in history] == [1.0, 1.0, None]
    assert all(torch.equal(before[name], value) for name, value in weights(subject).items())
    assert capsys.readouterr().out.count("teaches nothing") == 2


def test_samples_without_a_finite_reward_are_dropped_and_counted(tmp_path: Path) -> None:
    def partly(grids_nhwc: Any, *_: Any) -> dict[str, Any]:
        values = grids_nhwc.mean(axis=(1, 2, 3))
        values[0], values[3] = np.nan, np.inf
        return {"reward": values}

    subject = trainer(tmp_path, partly, epochs=1, heldout_samples=0)
    row = subject.run()[0]
    assert row["dropped"] == 2.0
    assert np.isfinite(row["train_reward"])
    assert subject.update.steps == 2
    assert sum(subject._statistics.count(prompt) for prompt in PROMPTS) == 6


def poisoned(subject: Trainer, batch: int, rows: list[int], at: int) -> None:
    """Has the rollouts of forward batch `batch` turn to NaN in these rows, from state `at` on."""
    sample, calls = subject.policy.roll_out, itertools.count()

    def roll_out(*arguments: Any) -> Any:
        rollout = sample(*arguments)
        if next(calls) == batch:
            rollout.trajectory.latents_bschw[rows, at:] = torch.nan
            rollout.trajectory.log_probs_bs[rows, at - 1 :] = torch.nan
            for gradient in (rollout.gradients or {}).values():
                gradient[rows] = torch.nan
        return rollout

    subject.policy.roll_out = roll_out  # type: ignore[method-assign]


@pytest.mark.parametrize("one_pass", [False, True])
@pytest.mark.parametrize("rows", [[2], [0, 1, 2, 3]], ids=["a sample", "a forward batch"])
def test_samples_of_nan_are_dropped_and_the_others_gradient_is_their_own(
    tmp_path: Path, rows: list[int], one_pass: bool
) -> None:
    """Against the score function of the others, each with the share that it has in the whole."""
    subject = trainer(
        tmp_path, one_pass=one_pass, batch_size=8, epochs=1, max_gradient_norm=1e9,
        heldout_samples=0,
    )  # fmt: skip
    poisoned(subject, 1, rows, at=1)
    prompts, rollouts, found, plan = subject.roll_out(np.random.default_rng(0), Clock())
    assert found.dropped == len(rows)
    advantages = subject.advantages(prompts, found)
    model, total = subject.policy.model, torch.zeros(())
    for number, rollout in rollouts.items():
        for row, advantage in enumerate(advantages[number]):
            if number == 0 or row not in rows:
                step = evaluate_transition(model, rollout[[row]], 0, guidance=1.0)
                total = total - step.log_prob.sum() * advantage / 8
    parameters = list(subject.update.parameters.values())
    expected = torch.autograd.grad(total, parameters)
    report = subject.update(rollouts, advantages, plan, judged=True)
    assert all(np.isfinite(value) for value in report.values())
    assert report.get("ratio", 1.0) == pytest.approx(1.0, abs=1e-6)
    assert subject.update.steps == 1
    for parameter, gradient in zip(parameters, expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient.float(), rtol=1e-3, atol=1e-7)
        assert parameter.isfinite().all()


def test_a_step_without_a_sample_is_not_taken(tmp_path: Path) -> None:
    """One of two steps in an epoch; what is measured is that of the other."""
    subject = trainer(tmp_path, heldout_samples=0, max_dropped=0.6)
    poisoned(subject, 1, [0, 1, 2, 3], at=1)
    prompts, rollouts, found, plan = subject.roll_out(np.random.default_rng(0), Clock())
    report = subject.update(rollouts, subject.advantages(prompts, found), plan)
    assert subject.update.steps == 1
    assert report["ratio"] == pytest.approx(1.0, abs=0.1)
    assert all(np.isfinite(value) for value in report.values())


@pytest.mark.parametrize("one_pass", [False, True])
def test_a_run_goes_on_without_a_sample_of_nan(tmp_path: Path, one_pass: bool) -> None:
    """Decoded, rendered by the training process, judged and learnt from as ever."""
    subject = trainer(
        tmp_path, real_reward(), one_pass=one_pass, batch_size=8, epochs=2, heldout_samples=0
    )
    before = weights(subject)
    poisoned(subject, 1, [2], at=1)
    history = subject.run()
    assert [row.get("dropped") for row in history] == [1.0, 0.0, None]
    assert np.isfinite(history[0]["gradient_norm"])
    assert subject.update.steps == 2
    after = weights(subject)
    assert all(value.isfinite().all() for value in after.values())
    assert any(not torch.equal(before[name], value) for name, value in after.items())


def test_too_many_dropped_samples_end_the_run_and_keep_its_checkpoints(tmp_path: Path) -> None:
    calls = 0

    def broken(grids_nhwc: Any, *_: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        values = grids_nhwc.mean(axis=(1, 2, 3))
        return {"reward": values if calls == 1 else values * np.nan}

    with pytest.raises(UserError, match=r"8 of 8 samples have no reward.*not finite"):
        trainer(tmp_path, broken, epochs=3, heldout_samples=0).run()
    assert (tmp_path / "checkpoint-00001").is_dir()
    history = trainer(tmp_path, redness, epochs=3, heldout_samples=0).run()
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
