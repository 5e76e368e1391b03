"""Measurements on held-out prompts: always the same prompts, seeds and lights."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from components.core.platform.seeds import derive_seed
from components.core.realism.reward import COMMON, GOLD, REWARD, RealismReward
from components.ddpo_lora.clock import Clock
from components.ddpo_lora.config import Config
from components.ddpo_lora.dropped import check_dropped
from components.ddpo_lora.gathering import gathered
from components.ddpo_lora.history import Row
from components.ddpo_lora.interruption import Pause, no_pause
from components.ddpo_lora.metrics import paired_change, reward_metrics
from components.ddpo_lora.parallel import Group
from components.ddpo_lora.policy import Policy
from components.ddpo_lora.rollout import draw_prompts, parts
from components.ddpo_lora.scoring import Scoring

FloatArray = npt.NDArray[np.float64]

OTHERS = {GOLD: "heldout_gold_reward", COMMON: "heldout_common_reward"}
CHANGES = {REWARD: "heldout_change", GOLD: "heldout_gold_change"}
"""Of these the change since the first measurement is given with its interval."""
MISSING = 128
"""Grey level of a picture that could not be rendered."""


class Heldout:
    """Measures the policy as it is; processes share the samples between them."""

    def __init__(
        self,
        policy: Policy,
        scoring: Scoring,
        prompts: Sequence[str],
        categories: Mapping[str, str],
        config: Config,
        group: Group,
        pause: Pause = no_pause,
    ) -> None:
        self._policy, self._scoring, self._config, self._group = policy, scoring, config, group
        self._prompts, self._categories = list(prompts), categories
        self._pause = pause
        self.start: dict[str, list[float]] = {}  # the first scores, by scorer

    def measure(self, clock: Clock) -> tuple[Row, FloatArray]:
        """Metrics of the held-out rewards, and the gold scores (N,), NaN where there is none."""
        config = self._config
        if not config.heldout_samples or not self._prompts:
            return {}, np.empty(0)
        rng = self._rng("heldout")
        prompts = draw_prompts(self._prompts, config.heldout_samples, 1, rng)
        seeds = [int(seed) for seed in rng.integers(2**62, size=len(prompts))]
        with clock.phase("heldout"):
            scoring = self._scoring.begin(
                len(prompts), rng, Clock(), lights_per_sample=config.lights_per_sample
            )
            for number, part in enumerate(parts(len(prompts), config.forward_batch)):
                if number % self._group.size == 0:
                    self._pause()
                if number % self._group.size == self._group.rank:
                    latents = self._policy.sample(prompts[part], seeds[part])
                    scoring.add(range(len(prompts))[part], latents)
            found = gathered(scoring.finish(), len(prompts), self._group)
        check_dropped(
            found.scores[REWARD], config.max_dropped, self._scoring.failures, "held-out samples"
        )
        kinds = [self._categories[p] for p in prompts] if self._categories else []
        row: Row = reward_metrics("heldout_reward", found.scores[REWARD], kinds)
        row["heldout_dropped"] = float(found.dropped)
        for name, key in OTHERS.items():
            other = reward_metrics(key, found.scores[name])
            row |= {key: value for key, value in other.items() if "_q" not in key}
        for name, key in CHANGES.items():
            row |= paired_change(key, self._first(name, found.scores[name]), found.scores[name])
        if found.diversity is not None:
            row["heldout_diversity"] = found.diversity
        return row, found.scores[GOLD]

    def _first(self, name: str, scores_n: FloatArray) -> FloatArray:
        """The first measurement's scores (N,), which changes are counted from.

        A sample that was lost there has no change: one since a later measurement is another thing.
        """
        start = self.start.setdefault(name, [float(value) for value in scores_n])
        return np.array(start, np.float64)

    @property
    def shows(self) -> bool:
        """Whether there is anything to make a strip of."""
        return bool(self._prompts)

    def strip(self) -> npt.NDArray[np.uint8]:
        """`strip_seeds` samples of each of `strip_prompts` prompts (N, h, w, 3).

        The prompts lie evenly among all, which are ordered by category.

        Rendered if the reward renders, by what renders for it; a rendering that fails is grey.
        """
        config = self._config
        count, rng = min(config.strip_prompts, len(self._prompts)), self._rng("strips")
        shown = [self._prompts[len(self._prompts) * i // count] for i in range(count)]
        prompts = [prompt for prompt in shown for _ in range(config.strip_seeds)]
        seeds = [int(seed) for seed in rng.integers(2**62, size=len(prompts))]
        grids = np.concatenate(
            [
                self._policy.decode(self._policy.sample(prompts[part], seeds[part]))
                for part in parts(len(prompts), config.forward_batch)
            ]
        )
        reward, render = self._scoring.reward, self._scoring.render
        if not isinstance(reward, RealismReward) or render is None:
            return np.round(grids * 255.0).astype(np.uint8)
        images = render(grids, reward.draw(len(grids), rng))
        size = config.rendering.size
        shape = next((image.shape for image in images if image is not None), (size, size, 3))
        missing = np.full(shape, MISSING, np.uint8)
        return np.stack([missing if image is None else image for image in images])

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self._config.seed, name))
