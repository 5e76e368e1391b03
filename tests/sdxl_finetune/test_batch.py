"""What the processes train on is one batch, each item once, made before it is asked for."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from components.core.diffusion.model import load_model
from components.sdxl_finetune.batch import Ahead, Batch, Batches, own_rows
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import TrainingData, batch_items, build_cache
from components.sdxl_finetune.draw import Draw

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("processes", "nodes", "micro_batch_size"), [(1, 1, 120), (8, 3, 5), (4, 2, 5), (2, 1, 1)]
)
def test_the_processes_divide_the_batch(processes: int, nodes: int, micro_batch_size: int) -> None:
    config = Config(processes=processes, nodes=nodes, micro_batch_size=micro_batch_size)
    rows = [own_rows(config, rank) for rank in range(config.world_size)]
    assert {len(own) for own in rows} == {config.accumulation}
    places = [place for own in rows for part in own for place in range(120)[part]]
    assert places == list(range(120))  # all of them, and none twice


def test_two_processes_see_what_one_sees(base_model: Path, dataset: Path, tmp_path: Path) -> None:
    """And that is what the seed and the step say: items, noise, timesteps and dropped captions."""
    model = load_model(str(base_model))
    alone = Config(batch_size=4, micro_batch_size=4, caption_dropout=0.5)
    two = Config(batch_size=4, micro_batch_size=1, processes=2, caption_dropout=0.5)
    build_cache([dataset], model, alone, tmp_path / "cache")
    data, steps = TrainingData(tmp_path / "cache"), {"train_steps": 1000}

    def batch(config: Config, rank: int) -> Batch:
        return Batches(config, data, rank, latent_shape=model.latent_shape, **steps)(7)

    [whole], parts = batch(alone, 0).parts, [p for rank in (0, 1) for p in batch(two, rank).parts]
    draw = Draw.of_step(0, 7, (4, *model.latent_shape), 1000, 0.5)
    latents, embeds, ids = data.batch(batch_items(0, 7, 4, 10))
    for name, expected in (
        ("noise_bchw", draw.noise_bchw), ("t_b", draw.t_b), ("drop_b", draw.drop_b),
        ("latents_bchw", latents), ("time_ids_b6", ids),
    ):  # fmt: skip
        assert torch.equal(getattr(whole, name), expected)
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), expected)
    assert torch.equal(torch.cat([part.embeds.tokens_bld for part in parts]), embeds.tokens_bld)
    assert torch.equal(torch.cat([part.embeds.pooled_bd for part in parts]), embeds.pooled_bd)
    assert np.array_equal(batch(two, 1).items_b, batch(alone, 0).items_b)


def test_the_next_step_is_made_while_one_computes() -> None:
    made = [threading.Event() for _ in range(4)]
    makers: list[str] = []

    def make(step: int) -> int:
        makers.append(threading.current_thread().name)
        made[step].set()
        return step * step

    ahead = Ahead(make, 3, CPU)
    for step in range(3):
        assert ahead.of(step) == step * step
        assert step == 2 or made[step + 1].wait(10.0), "it waits to be asked"
    assert not made[3].is_set()  # there is no fourth step
    here = threading.current_thread().name
    assert makers[0] == here
    assert here not in makers[1:]
    assert Ahead(make, 9, CPU).of(2) == 4  # where a resumed training begins


def test_what_goes_wrong_ahead_is_raised_at_its_step() -> None:
    def make(step: int) -> int:
        if step == 1:
            raise MemoryError("no more")
        return step

    ahead = Ahead(make, 3, CPU)
    assert ahead.of(0) == 0
    with pytest.raises(MemoryError, match="no more"):
        ahead.of(1)
