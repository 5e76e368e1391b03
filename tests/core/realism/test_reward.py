"""Grid to score: each grid keeps its own score, averaged over its own lights."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from components.core.materials.material import Material
from components.core.platform.config_types import Rendering
from components.core.realism.clip import ClipFeatures
from components.core.realism.reward import RealismReward, load_reward
from components.core.realism.scorer import LinearScorer
from components.core.rendering.environments import Environment

Images = npt.NDArray[np.uint8]
ENVIRONMENTS = [Environment(n, np.ones((2, 4, 3), np.float32)) for n in "ab"]


class Painter:
    """Paints red with the material's red, green with its height, blue in environment "b"."""

    def render_srgb(
        self, material: Material, environment: Environment, *, rotation: float, seed: int
    ) -> Images:
        colour = [material.albedo[0, 0, 0], material.height[0, 0], float(environment.name == "b")]
        return np.broadcast_to(np.round(np.array(colour) * 255), (2, 2, 3)).astype(np.uint8)


class Pixels:
    """Features are the mean colour."""

    def images(self, images_nhwc: Images) -> npt.NDArray[np.float32]:
        return (images_nhwc.mean(axis=(1, 2)) / 255.0).astype(np.float32)


def weights(*values: float) -> LinearScorer:
    return LinearScorer(np.array(values, np.float32), 0.0)


def reward(**scorers: LinearScorer) -> RealismReward:
    features: Any = Pixels()
    return RealismReward(Painter(), ENVIRONMENTS, features, scorers)


def grids(*reds: float) -> npt.NDArray[np.float32]:
    result = np.full((len(reds), 8, 8, 3), 0.2, np.float32)
    for grid, red in zip(result, reds, strict=True):
        grid[:4, :4, 0] = red
        grid[:4, 4:] = 1.0 - red  # the height map
    return result


def test_each_grid_gets_its_own_score_by_every_scorer() -> None:
    scores = reward(reward=weights(1, 0, 0), gold=weights(0, 1, 0))(
        grids(0.0, 0.4, 1.0), np.random.default_rng(0), 3
    )
    assert scores["reward"] == pytest.approx([0.0, 0.4, 1.0], abs=0.01)
    assert scores["gold"] == pytest.approx([1.0, 0.6, 0.0], abs=0.01)


def test_the_score_is_the_mean_over_several_lights() -> None:
    blue = reward(reward=weights(0, 0, 1))(grids(*[0.5] * 8), np.random.default_rng(0), 64)
    assert blue["reward"] == pytest.approx([0.5] * 8, abs=0.25)
    assert len(set(blue["reward"].tolist())) > 1


def test_the_same_source_of_light_gives_the_same_scores() -> None:
    first, second = (
        reward(reward=weights(1, 1, 1))(grids(0.1, 0.9), np.random.default_rng(5))["reward"]
        for _ in range(2)
    )
    assert (first == second).all()


def test_a_reward_without_the_reward_scorer_is_refused() -> None:
    with pytest.raises(ValueError, match="reward"):
        reward(gold=weights(1, 0, 0))


def test_the_lights_may_be_a_catalogues(lights_address: str, tmp_path: Path) -> None:
    (tmp_path / "clip.json").write_text('{"uri": "small"}')
    dimension = ClipFeatures.load("small").dimension
    for name in ("reward", "gold"):
        LinearScorer(np.zeros(dimension, np.float32), 0.0).save(tmp_path / name)
    loaded = load_reward(tmp_path, lights_address, Rendering(size=8, spp=1, mesh_resolution=8))
    assert {light.environment for light in loaded.draw(9, np.random.default_rng(0))} == {0}
    assert loaded.render(grids(0.5), loaded.draw(1, np.random.default_rng(0))).shape == (1, 8, 8, 3)


def test_grids_in_a_row_share_their_lights_when_asked_to() -> None:
    blue = reward(reward=weights(0, 0, 1))
    alike = grids(*[0.5] * 12)
    shared = blue(alike, np.random.default_rng(0), 1, 4)["reward"].reshape(3, 4)
    own = blue(alike, np.random.default_rng(0), 1, 1)["reward"].reshape(3, 4)
    assert np.ptp(shared, axis=1).max() == 0
    assert len({tuple(blue(alike, np.random.default_rng(n), 1, 4)["reward"]) for n in range(9)}) > 1
    assert np.ptp(own, axis=1).max() == 1
