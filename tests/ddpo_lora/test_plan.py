"""Which transitions an update trains, and which process does it."""

import numpy as np
import pytest
from pydantic import ValidationError

from components.ddpo_lora.config import Config
from components.ddpo_lora.plan import draw_transitions, draw_window, owners, plan_update
from tests.ddpo_lora.micro import micro_config

DEVIATIONS = {index: 1.0 - index / 12 for index in range(10)}


def drawn(config: Config, seeds: int = 20) -> list[dict[int, float]]:
    return [
        dict(draw_transitions(DEVIATIONS, config, np.random.default_rng(seed)))
        for seed in range(seeds)
    ]


def test_a_share_of_the_timesteps_costs_a_share_of_the_forward_passes() -> None:
    several = drawn(micro_config(train_timestep_fraction=0.3))
    assert {len(indices) for indices in several} == {3}
    assert {index for indices in several for index in indices} == set(range(10))
    assert sum(several[0].values()) == pytest.approx(1.0)


def test_shares_by_variance_favour_the_noisier_transitions_and_keep_the_mean() -> None:
    shares = drawn(micro_config(transition_weighting="variance"))[0]
    assert set(shares) == set(DEVIATIONS)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares[1] / shares[5] == pytest.approx((DEVIATIONS[1] / DEVIATIONS[5]) ** 2)


def test_a_window_is_consecutive() -> None:
    for indices in drawn(micro_config(window=3)):
        start = next(i for i in indices if (i - 1) % 10 not in indices)
        assert set(indices) == {(start + offset) % 10 for offset in range(3)}


@pytest.mark.parametrize("weighting", ["uniform", "variance"])
def test_windows_train_every_transition_as_all_transitions_do(weighting: str) -> None:
    """The mean share over windows is the share without a window: an unbiased gradient."""
    config = micro_config(window=4, transition_weighting=weighting)
    several = drawn(config, seeds=4000)
    expected = drawn(micro_config(transition_weighting=weighting), seeds=1)[0]
    for index in DEVIATIONS:
        mean = np.mean([shares.get(index, 0.0) for shares in several])
        assert mean == pytest.approx(expected[index], rel=0.1)


def test_a_window_wider_than_the_trajectory_is_all_of_it() -> None:
    assert draw_window([4, 5, 6], 9, np.random.default_rng(0)) == {4, 5, 6}


def test_window_and_fraction_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="not both"):
        micro_config(window=2, train_timestep_fraction=0.5)


def test_every_step_is_shared_evenly_between_processes() -> None:
    config = micro_config(samples_per_epoch=48, batch_size=16, forward_batch=2, processes=4)
    plan = plan_update(24, DEVIATIONS, config, np.random.default_rng(3))
    owner = owners(plan, 24, 4)
    assert len(plan) == 3
    for tasks in plan:
        counts = np.bincount([owner[task.batch] for task in tasks], minlength=4)
        assert counts.tolist() == [2, 2, 2, 2]


def test_processes_that_cannot_share_a_step_evenly_are_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of processes"):
        micro_config(processes=3)
