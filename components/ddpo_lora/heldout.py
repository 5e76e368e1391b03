"""Measurements on held-out prompts: always the same prompts, seeds and lights."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from components.core.platform.seeds import derive_seed
from components.core.realism.reward import GOLD, REWARD, RealismReward
from components.ddpo_lora.clock import Clock
from components.ddpo_lora.config import Config
from components.ddpo_lora.gathering import gathered
from components.ddpo_lora.history import Row
from components.ddpo_lora.interruption import Pause, no_pause
from components.ddpo_lora.metrics import reward_metrics
from components.ddpo_lora.parallel import Group
from components.ddpo_lora.policy import Policy
from components.ddpo_lora.rollout import draw_prompts, parts
from components.ddpo_lora.scoring import Scoring

FloatArray = npt.NDArray[np.float64]


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

    def measure(self, clock: Clock) -> tuple[Row, FloatArray]:
        """Metrics of the held-out rewards, and the gold scores (N,), NaN where there is none."""
        config = self._config
        if not config.heldout_samples or not self._prompts:
            return {}, np.empty(0)
        rng = np.random.default_rng(derive_seed(config.seed, "heldout"))
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
        kinds = [self._categories[p] for p in prompts] if self._categories else []
        row: Row = reward_metrics("heldout_reward", found.scores[REWARD], kinds)
        gold = reward_metrics("heldout_gold_reward", found.scores[GOLD])
        row |= {key: value for key, value in gold.items() if "_q" not in key}
        if found.diversity is not None:
            row["heldout_diversity"] = found.diversity
        return row, found.scores[GOLD]

    def strip(self) -> npt.NDArray[np.uint8]:
        """The first `strip_prompts` prompts (N, h, w, 3), rendered if the reward renders."""
        config = self._config
        prompts = self._prompts[: config.strip_prompts]
        rng = np.random.default_rng(derive_seed(config.seed, "strips"))
        seeds = [int(seed) for seed in rng.integers(2**62, size=len(prompts))]
        latents = [
            self._policy.sample(prompts[part], seeds[part])
            for part in parts(len(prompts), config.forward_batch)
        ]
        grids = np.concatenate([self._policy.decode(batch) for batch in latents])
        reward = self._scoring.reward
        if isinstance(reward, RealismReward):
            return reward.render(grids, reward.draw(len(grids), rng))
        return np.round(grids * 255.0).astype(np.uint8)
