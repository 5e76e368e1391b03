"""Scoring beside sampling: the same numbers, and a lost rendering costs one sample."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.core.diffusion.lora import add_lora
from components.core.errors import UserError
from components.core.platform.tracking import NullTracker
from components.core.rendering.pool import RenderPool
from components.ddpo_lora.clock import Clock
from components.ddpo_lora.rendering import OwnRenderer
from components.ddpo_lora.scoring import Scoring
from components.ddpo_lora.trainer import Trainer
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, micro_config, micro_model, redness
from tests.ddpo_lora.real import RENDERING, real_reward
from tests.ddpo_lora.renderers import deadly, fragile, sickly

RUN: dict[str, Any] = {"steps": 2, "epochs": 2, "heldout_every": 1, "samples_per_prompt": 2}


def trained(
    work: Path, render: RenderPool | None = None, **changes: Any
) -> tuple[str, dict[str, torch.Tensor]]:
    """History without times, and the adapter."""
    model, config = micro_model(), micro_config(**(RUN | changes))
    add_lora(model.unet, config.rank)
    trainer = Trainer(
        model, real_reward(), PROMPTS, HELDOUT, config, work, NullTracker(), render=render
    )
    history = trainer.run()
    for row in history:
        del row["seconds"]
    return json.dumps(history), {
        k: v.detach().clone() for k, v in trainer.update.parameters.items()
    }


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, torch.Tensor]]:
    return trained(tmp_path_factory.mktemp("serial"), lights_per_sample=2, shared_light=True)


def same(
    one: tuple[str, dict[str, torch.Tensor]], two: tuple[str, dict[str, torch.Tensor]]
) -> bool:
    return one[0] == two[0] and all(torch.equal(one[1][name], two[1][name]) for name in one[1])


def test_overlapping_changes_nothing(
    serial: tuple[str, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    overlapped = trained(tmp_path, lights_per_sample=2, shared_light=True, overlap=True)
    assert same(serial, overlapped)


def test_rendering_in_processes_changes_nothing(
    serial: tuple[str, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    with RenderPool(RENDERING, "", 2, 300.0) as pool:
        pooled = trained(tmp_path, pool, lights_per_sample=2, shared_light=True, overlap=True)
    assert same(serial, pooled)
    assert not pool.failures


def test_the_next_batch_is_sampled_while_one_is_scored() -> None:
    """Deadlocks, and fails by its timeout, if `add` waits for the scoring."""
    sampled = threading.Event()
    in_time = []

    def decode(latents: torch.Tensor) -> Any:
        in_time.append(sampled.wait(timeout=60.0))
        return np.full((len(latents), 16, 16, 3), 0.5, np.float32)

    with Scoring(decode, redness, overlap=True) as scoring:
        work = scoring.begin(4, np.random.default_rng(0), Clock())
        work.add([0, 1], torch.zeros(2, 1))
        work.add([2, 3], torch.zeros(2, 1))
        sampled.set()
        numbers, scored = work.finish()
    assert in_time == [True, True]
    assert numbers == [0, 1, 2, 3]
    assert scored.dropped == 0


def test_batches_that_wait_are_rendered_together() -> None:
    """Three batches come in while the first is decoded; render processes get all at once."""
    added, sizes = threading.Event(), []

    def decode(latents: torch.Tensor) -> Any:
        added.wait(timeout=60.0)
        return np.full((len(latents), 16, 16, 3), 0.5, np.float32)

    def render(grids: Any, lights: Any) -> list[Any]:
        sizes.append(len(grids))
        return [np.full((24, 24, 3), 100, np.uint8)] * len(grids)

    with Scoring(decode, real_reward(), render=render, overlap=True) as scoring:
        work = scoring.begin(6, np.random.default_rng(0), Clock())
        for start in (0, 2, 4):
            work.add([start, start + 1], torch.zeros(2, 1))
        added.set()
        numbers, scored = work.finish()
    assert sizes == [6]
    assert numbers == list(range(6))
    assert scored.dropped == 0


def test_strips_are_made_by_what_renders_and_a_failure_is_grey(tmp_path: Path) -> None:
    def half(grids: Any, lights: Any) -> list[Any]:
        return [None if i % 2 else np.full((24, 24, 3), 7, np.uint8) for i in range(len(grids))]

    model = micro_model()
    config = micro_config(steps=2, strips_every=1, strip_prompts=2, strip_seeds=2)
    add_lora(model.unet, config.rank)
    arguments = (model, real_reward(), PROMPTS)
    trainer = Trainer(*arguments, HELDOUT, config, tmp_path, NullTracker(), render=half)
    strip = trainer.heldout.strip()
    assert strip.shape == (4, 24, 24, 3)
    assert strip[:, 0, 0, 0].tolist() == [7, 128, 7, 128]


def test_strips_show_prompts_from_all_over_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, asked = micro_model(), list[str]()
    config = micro_config(steps=2, strips_every=1, strip_prompts=3, strip_seeds=1)
    add_lora(model.unet, config.rank)
    many = [f"prompt {i}" for i in range(9)]
    trainer = Trainer(model, real_reward(), PROMPTS, many, config, tmp_path, NullTracker())
    sample = trainer.heldout._policy.sample

    def noted(prompts: Any, seeds: Any) -> Any:
        asked.extend(prompts)
        return sample(prompts, seeds)

    monkeypatch.setattr(trainer.heldout._policy, "sample", noted)
    trainer.heldout.strip()
    assert asked == ["prompt 0", "prompt 3", "prompt 6"]


def test_without_heldout_prompts_there_are_no_strips(tmp_path: Path) -> None:
    model, config = micro_model(), micro_config(steps=2, epochs=1, strips_every=1)
    add_lora(model.unet, config.rank)
    Trainer(model, redness, PROMPTS, [], config, tmp_path, NullTracker()).run()
    assert not (tmp_path / "strips").exists()


def test_a_failure_in_the_thread_reaches_the_caller() -> None:
    def decode(latents: torch.Tensor) -> Any:
        raise RuntimeError("out of memory")

    with Scoring(decode, redness, overlap=True) as scoring:
        work = scoring.begin(2, np.random.default_rng(0), Clock())
        work.add([0, 1], torch.zeros(2, 1))
        with pytest.raises(RuntimeError, match="out of memory"):
            work.finish()


def test_a_dying_renderer_costs_the_samples_it_dies_of() -> None:
    grids = np.random.default_rng(1).uniform(size=(4, 16, 16, 3)).astype(np.float32)
    ill = [sickly(grid) for grid in grids]
    assert 0 < sum(ill) < 4
    scored = []
    for prepare in (None, fragile):
        options = {} if prepare is None else {"prepare": prepare}
        with RenderPool(RENDERING, "", 1, 300.0, **options) as pool:
            scoring = Scoring(lambda latents: grids[latents.long()], real_reward(), render=pool)
            work = scoring.begin(4, np.random.default_rng(0), Clock())
            work.add(range(4), torch.arange(4))
            scored.append(work.finish()[1])
    well, hurt = (found.scores["reward"] for found in scored)
    assert np.isnan(hurt).tolist() == ill
    np.testing.assert_allclose(hurt[~np.isnan(hurt)], well[~np.isnan(hurt)], rtol=1e-5)
    assert scored[1].dropped == sum(ill) == len(pool.failures)


@pytest.mark.parametrize("overlap", [False, True])
def test_a_grid_of_nan_costs_its_sample_also_where_the_training_process_renders(
    overlap: bool,
) -> None:
    """The others score as without it; the reason is kept for the sentence that ends a run."""
    grids = np.random.default_rng(1).uniform(size=(4, 16, 16, 3)).astype(np.float32)
    ill = grids.copy()
    ill[2, 3, 5] = np.nan
    scored = []
    for given in (grids, ill):
        with Scoring(lambda at, g=given: g[at.long()], real_reward(), overlap=overlap) as scoring:
            work = scoring.begin(4, np.random.default_rng(0), Clock(), lights_per_sample=2)
            for start in (0, 2):
                work.add([start, start + 1], torch.arange(start, start + 2))
            scored.append(work.finish()[1])
    well, hurt = (found.scores["reward"] for found in scored)
    assert np.isnan(hurt).tolist() == [False, False, True, False]
    np.testing.assert_array_equal(np.delete(hurt, 2), np.delete(well, 2))
    assert scored[1].dropped == 1
    assert len(scoring.failures) == 2  # of two lights
    assert all("albedo holds NaN" in reason for reason in scoring.failures)


def test_what_the_user_has_to_mend_is_no_dropped_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    reward = real_reward()

    def refuse(grids: Any, lights: Any) -> Any:
        raise UserError("there is no such light")

    monkeypatch.setattr(reward, "render", refuse)
    grid = np.full((1, 16, 16, 3), 0.5, np.float32)
    with pytest.raises(UserError, match="no such light"):
        OwnRenderer(reward)(grid, reward.draw(1, np.random.default_rng(0)))


@pytest.mark.parametrize("overlap", [False, True])
def test_a_renderer_that_never_succeeds_is_told_of_before_the_round_is_over(overlap: bool) -> None:
    """After 8 of 400 samples; with one success among them, once more than half are lost."""

    def samples_until_told(render: Any) -> int:
        with Scoring(
            lambda latents: np.full((len(latents), 16, 16, 3), 0.5, np.float32), real_reward(),
            render=render, overlap=overlap, max_dropped=0.5,
        ) as scoring:  # fmt: skip
            work = scoring.begin(400, np.random.default_rng(0), Clock())
            with pytest.raises(UserError, match=r"of the first \d+ samples have no reward"):
                for start in range(0, 400, 4):
                    work.add(range(start, start + 4), torch.zeros(4, 1))
                    scoring.call(lambda: None)  # the thread has scored what it has
                work.finish()
        return start + 4

    never = samples_until_told(lambda grids, lights: [None] * len(grids))
    assert never == (12 if overlap else 8)
    seen: list[int] = []

    def once(grids: Any, lights: Any) -> list[Any]:
        seen.append(len(grids))
        first = np.full((24, 24, 3), 100, np.uint8) if len(seen) == 1 else None
        return [first, *[None] * (len(grids) - 1)]

    assert samples_until_told(once) == (208 if overlap else 400)


def test_a_renderer_that_dies_every_time_is_a_clear_error(tmp_path: Path) -> None:
    with (
        RenderPool(RENDERING, "", 1, 300.0, prepare=deadly) as pool,
        pytest.raises(UserError, match=r"first 2 samples have no reward.*exit code -6"),
    ):
        trained(tmp_path, pool, heldout_samples=0, samples_per_epoch=2, batch_size=2,
                forward_batch=2, statistics_min_count=1)  # fmt: skip
