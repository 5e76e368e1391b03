"""That a reward is climbed, and that nothing is learnt where there is nothing to learn."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from components.core.diffusion.lora import add_lora
from components.core.diffusion.model import load_model
from components.core.platform.tracking import NullTracker
from components.core.realism.reward import RewardFunction
from components.ddpo_lora.clock import Clock
from components.ddpo_lora.rollout import evaluate_transition, trainable_steps
from components.ddpo_lora.trainer import Trainer
from components.ddpo_lora.training import equip
from pipelines.recipe import load_recipe
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, Scores, micro_config, micro_model


def brightness(
    grids_nhwc: npt.NDArray[np.floating[Any]], rng: np.random.Generator, *_: int
) -> Scores:
    """Mean of all pixels, by both scorers."""
    means = grids_nhwc.mean(axis=(1, 2, 3))
    return {"reward": means, "gold": means}


def chance(sign: float) -> RewardFunction:
    """A reward that has nothing to do with the material; gold is still its brightness."""

    def reward(
        grids_nhwc: npt.NDArray[np.floating[Any]], rng: np.random.Generator, *_: int
    ) -> Scores:
        noise = sign * rng.normal(size=len(grids_nhwc))
        return {"reward": noise, "gold": grids_nhwc.mean(axis=(1, 2, 3))}

    return reward


def rise(reward: RewardFunction, seed: int, work: Path, **changes: Any) -> float:
    """How much brighter held-out samples become, in standard deviations between samples."""
    settings: dict[str, Any] = {
        "seed": seed, "epochs": 6, "samples_per_epoch": 96, "batch_size": 48, "forward_batch": 48,
        "steps": 3, "learning_rate": 5e-3, "clip_range": 0.1, "statistics_min_count": 16,
        "heldout_every": 6, "heldout_samples": 48,
    }  # fmt: skip
    config = micro_config(**(settings | changes))
    model = micro_model()
    add_lora(model.unet, config.rank)
    trainer = Trainer(model, reward, PROMPTS, HELDOUT, config, work, NullTracker())
    history = trainer.run()
    spread = history[0]["heldout_gold_reward_std"]
    first, last = history[0], history[-1]
    return float(last["heldout_gold_reward"] - first["heldout_gold_reward"]) / spread


@pytest.fixture(scope="module")
def climbs(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return [rise(brightness, seed, tmp_path_factory.mktemp("climb")) for seed in range(2)]


def test_brightness_climbs(climbs: list[float]) -> None:
    assert min(climbs) > 0.2, climbs


def test_brightness_climbs_when_a_window_alone_is_noisy_and_its_start_shared(
    tmp_path: Path,
) -> None:
    """With transitions weighted by their variance, as in `laptop`: samples that branch off late
    hardly differ, and their group's deviation is small too."""
    changes = {
        "steps": 6, "window": 2, "window_stride": 2, "branch": True, "samples_per_prompt": 4,
        "advantages": "group", "shared_light": True, "transition_weighting": "variance",
    }  # fmt: skip
    assert rise(brightness, 0, tmp_path, **changes) > 0.2


@pytest.mark.long
def test_brightness_climbs_on_the_small_model_within_three_minutes(tmp_path: Path) -> None:
    """The shipped model with `laptop`'s way of learning; the change's interval is above 0.

    Of one processor, as other work on the machine may hold up the clock on the wall.
    """
    changes: dict[str, Any] = {
        "epochs": 3, "heldout_every": 3, "heldout_samples": 16, "strips_every": 0,
    }  # fmt: skip
    config = load_recipe("laptop").ddpo_lora.model_copy(update=changes)
    started, model = time.process_time(), load_model("small")
    equip(model, config)
    trainer = Trainer(model, brightness, PROMPTS, HELDOUT, config, tmp_path, NullTracker())
    last = trainer.run()[-1]
    assert time.process_time() - started < 180.0
    assert last["heldout_change_low"] > 0.0, last


def test_what_a_random_reward_favours_becomes_more_probable_and_nothing_else(
    tmp_path: Path,
) -> None:
    """One update: log-probabilities of the samples move with their advantages; a wrong sign, or
    advantages of other samples, would move them the other way, or anyhow."""
    config = micro_config(
        samples_per_epoch=48, batch_size=48, forward_batch=48, steps=3, learning_rate=1e-2,
        clip_range=10.0, heldout_samples=0,
    )  # fmt: skip
    model = micro_model()
    add_lora(model.unet, config.rank)
    subject = Trainer(model, chance(1.0), PROMPTS, HELDOUT, config, tmp_path, NullTracker())
    prompts, rollouts, found, plan = subject.roll_out(np.random.default_rng(0), Clock())
    (advantages_b,) = advantages = subject.advantages(prompts, found)
    assert np.corrcoef(advantages_b, found.scores["reward"])[0, 1] > 0.9
    subject.update(rollouts, advantages, plan)
    moved_b = np.zeros(48)
    for index in trainable_steps(model, config.steps):
        step = evaluate_transition(model, rollouts[0], index, guidance=1.0)
        old_b = rollouts[0].trajectory.log_probs_bs[:, index]
        moved_b += (step.log_prob - old_b).detach().double().numpy()
    assert np.corrcoef(advantages_b, moved_b)[0, 1] > 0.3


def test_a_random_reward_goes_nowhere(climbs: list[float], tmp_path: Path) -> None:
    """Random walks have no common direction; each is paired with that of the opposite rewards.

    A wrong sign, a leaking reward or a bias would move their mean out of its own noise.
    """
    walks = [
        rise(chance(sign), seed, tmp_path / f"{seed}{sign}")
        for seed in range(4)
        for sign in (1.0, -1.0)
    ]
    error = np.std(walks, ddof=1) / np.sqrt(len(walks))
    assert abs(np.mean(walks)) < 3.0 * error, walks
    assert np.mean(climbs) > np.mean(walks) + 3.0 * error, (walks, climbs)
