"""The Generated Materials set: complete, aligned with its index, the same after a kill."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from components.core.diffusion.model import TextToImage
from components.core.diffusion.small import SmallConfig, build_small
from components.core.materials.material import CATEGORIES, Material
from components.core.materials.prompts import is_heldout
from components.core.platform.artifacts import open_artifact
from components.core.platform.tracking import NullTracker
from components.core.rendering.environments import Environment
from components.material_sampling import stage
from components.material_sampling.config import Config
from components.material_sampling.stage import draw_orders, write

CONFIG = Config(
    materials=18, environments_per_material=2, batch_size=4, steps=2, guidance=1.0, device="cpu"
)
ENVIRONMENTS = [Environment(name, np.ones((2, 4, 3), np.float32)) for name in ("dawn", "noon")]


class MeanColour:
    """Renders a flat picture of the mean albedo, brighter at noon; may die."""

    def __init__(self, dies_after: int = 10**9) -> None:
        self.left = dies_after

    def render_srgb(
        self, material: Material, environment: Environment, *, rotation: float, seed: int
    ) -> npt.NDArray[np.uint8]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        colour = material.albedo.mean(axis=(0, 1)) * (200 if environment.name == "noon" else 100)
        return np.broadcast_to(colour, (4, 4, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> TextToImage:
    return build_small(["brick, red brick", "old wood"], SmallConfig.micro(), seed=1)


def make(folder: Path, model: TextToImage, renderer: MeanColour) -> Path:
    write(
        CONFIG,
        model,
        renderer,
        ENVIRONMENTS,
        output=folder / "generated",
        work=folder / "work",
        tracker=NullTracker(),
    )
    return open_artifact(folder / "generated", "generated-materials")


def test_every_rendering_is_that_of_its_index_line(tmp_path: Path, model: TextToImage) -> None:
    folder = make(tmp_path, model, MeanColour())
    grids, renderings = np.load(folder / "grids.npy"), np.load(folder / "renderings.npy")
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    assert grids.shape == (18, 32, 32, 3)
    assert renderings.shape == (36, 4, 4, 3)
    assert grids.dtype == renderings.dtype == np.uint8
    assert len(rows) == 36
    for row, rendering in zip(rows, renderings, strict=True):
        albedo = grids[row["material"], :16, :16] / 255.0
        expected = albedo.mean(axis=(0, 1)) * (200 if row["environment"] == "noon" else 100)
        assert np.abs(rendering[0, 0] - expected).max() < 1.01
    assert {row["environment"] for row in rows} == {"dawn", "noon"}


def test_orders_cover_the_categories_and_hold_nothing_out() -> None:
    orders = draw_orders(CONFIG.model_copy(update={"materials": 48}), 2)
    assert [sum(o.category == c for o in orders) for c in CATEGORIES] == [3] * 16
    assert not any(is_heldout(order.prompt) for order in orders)
    assert len({order.seed for order in orders}) == 48
    assert all(order.prompt.startswith(order.category) for order in orders)


def test_the_lights_may_be_a_catalogues(
    lights_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str] = []

    def take(*given: Any, **_: Any) -> None:
        seen.extend(light.name for light in given[3])

    monkeypatch.setattr(stage, "open_artifact", lambda folder, _: folder)
    monkeypatch.setattr(stage, "load_model", lambda *_, **__: None)
    monkeypatch.setattr(stage, "write", take)
    places = {name: tmp_path / name for name in ("model", "output", "work")}
    stage.run(CONFIG, environments=lights_address, tracker=NullTracker(), **places)
    assert seen == ["glow"]


def test_finished_batches_survive_a_kill(tmp_path: Path, model: TextToImage) -> None:
    whole = make(tmp_path / "whole", model, MeanColour())
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "killed", model, MeanColour(dies_after=20))
    assert not (tmp_path / "killed" / "generated").exists()
    again = MeanColour()
    resumed = make(tmp_path / "killed", model, again)
    assert (
        10**9 - again.left == 36 - 16
    )  # two batches of four materials, two lights each, were done
    for name in ("grids.npy", "renderings.npy", "index.jsonl"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
