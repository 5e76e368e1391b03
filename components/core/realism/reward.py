"""The reward of paper equation 6: grid -> maps -> rendering under a random light -> CLIP -> score.

One object holds everything between a decoded grid and its scores, so that training, the choice of
prompts and evaluation measure exactly the same thing, and a test can put any function in its place.
DDPO differentiates nothing in it; `score_with_gradient` is for the baseline that does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from components.core.errors import UserError
from components.core.materials.grid import unpack
from components.core.platform.config_types import Rendering
from components.core.realism.clip import ClipFeatures
from components.core.realism.identity import CLIP_FILE, read_clip
from components.core.realism.scorer import LinearScorer
from components.core.rendering.batch import Light, SrgbRenderer, draw_lights, render_batch
from components.core.rendering.environments import Environment, load_environments

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = npt.NDArray[np.floating]

REWARD = "reward"
GOLD = "gold"
TEST_PHOTOGRAPHS = "test_photographs.json"
"""Beside the scorers: the numbers of the photographs that none of them was trained on."""
COMMON = "common"
"""The artifact's own reward where another of its scorers is trained on: what such runs share."""


class RewardFunction(Protocol):
    """Grids and a source of randomness to scores by scorer name; `REWARD` is always among them."""

    def __call__(
        self,
        grids_nhwc: FloatArray,
        rng: np.random.Generator,
        lights_per_sample: int = 1,
        sharing: int = 1,
    ) -> Mapping[str, FloatArray]:
        """Scores (N,) of grids (N, 2H, 2W, 3) in [0, 1]; the lights follow from `rng` alone.

        sharing: so many grids in a row are seen under the same lights.
        """
        ...


class RealismReward:
    """The realism score by every given scorer, from one and the same set of renderings."""

    def __init__(
        self,
        renderer: SrgbRenderer,
        environments: Sequence[Environment],
        features: ClipFeatures,
        scorers: Mapping[str, LinearScorer],
    ) -> None:
        if REWARD not in scorers:
            raise ValueError(f"the scorers must contain {REWARD!r}, got {sorted(scorers)}")
        self._renderer = renderer
        self._environments = environments
        self._features = features
        self._scorers = scorers

    def __call__(
        self,
        grids_nhwc: FloatArray,
        rng: np.random.Generator,
        lights_per_sample: int = 1,
        sharing: int = 1,
    ) -> dict[str, FloatArray]:
        """Mean score (N,) of each grid over `lights_per_sample` lights drawn from `rng`, which
        `sharing` grids in a row have in common."""
        count = len(grids_nhwc)
        lights = self.draw(count, rng, lights_per_sample, sharing)
        images = self.render(np.repeat(grids_nhwc, lights_per_sample, axis=0), lights)
        return {
            name: scores.reshape(count, lights_per_sample).mean(axis=1)
            for name, scores in self.score(images).items()
        }

    @property
    def environments(self) -> Sequence[Environment]:
        """What lights are drawn from."""
        return self._environments

    def score_with_gradient(self, images_bchw: "Tensor") -> "Tensor":
        """The reward (B,) of sRGB images (B, 3, h, w) in [0, 1], differentiable in them."""
        import torch

        scorer = self._scorers[REWARD]
        features = self._features.with_gradient(images_bchw)
        return features @ torch.from_numpy(scorer.weight).to(features) + scorer.bias

    def draw(
        self, count: int, rng: np.random.Generator, lights_per_sample: int = 1, sharing: int = 1
    ) -> list[Light]:
        """The lights of `count` grids, `lights_per_sample` of each in a row."""
        groups = -(-count // sharing)
        drawn = draw_lights(groups * lights_per_sample, len(self._environments), rng)
        return [
            drawn[number // sharing * lights_per_sample + light]
            for number in range(count)
            for light in range(lights_per_sample)
        ]

    def render(self, grids_nhwc: FloatArray, lights: Sequence[Light]) -> npt.NDArray[np.uint8]:
        """The grids (N, 2H, 2W, 3) in [0, 1] rendered, each under its light: (N, h, w, 3)."""
        materials = [unpack(grid) for grid in grids_nhwc]
        return render_batch(self._renderer, materials, self._environments, lights)

    def score(self, images_nhwc: npt.NDArray[np.uint8]) -> dict[str, FloatArray]:
        """Scores (N,) of renderings or photographs (N, h, w, 3) by every scorer."""
        return self.judge(self.features(images_nhwc))

    def features(self, images_nhwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """CLIP features (N, D) of renderings or photographs (N, h, w, 3)."""
        return self._features.images(images_nhwc)

    def judge(self, features_nd: npt.NDArray[np.float32]) -> dict[str, FloatArray]:
        """Scores (N,) of features (N, D) by every scorer."""
        return {name: np.asarray(scorer(features_nd)) for name, scorer in self._scorers.items()}


def load_reward(
    folder: Path,
    environments: str,
    rendering: Rendering,
    device: str = "cpu",
    scorer: str = REWARD,
) -> RealismReward:
    """Reward and gold scorer of a "realism-scorer" artifact, seen through its own CLIP.

    Args:
        folder: the artifact.
        environments: as `load_environments` takes them: URI of a folder, address of a catalogue or
            "" for the embedded ones.
        rendering: size and quality of the renderings, which should be those trained with.
        device: where CLIP runs.
        scorer: which of the artifact's scorers is the reward.
    """
    from components.core.rendering.scene import Renderer

    features = read_clip(folder / CLIP_FILE, device=device)
    names = {REWARD: scorer, GOLD: GOLD} | ({COMMON: REWARD} if scorer != REWARD else {})
    scorers = {name: LinearScorer.load(folder / file) for name, file in names.items()}
    for name, linear in scorers.items():
        if len(linear.weight) != features.dimension:
            raise UserError(
                f"{folder / names[name]} was trained on features of {len(linear.weight)} numbers, "
                f"but the CLIP model that {CLIP_FILE} names makes {features.dimension}: train the "
                "reward with that model"
            )
    return RealismReward(
        Renderer(**rendering.model_dump()),
        load_environments(environments),
        features,
        scorers,
    )
