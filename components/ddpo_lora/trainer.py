"""DDPO: sample, score, compare with the prompt's usual reward, push up what did better.

Section 4.3 of the paper. An epoch samples materials with the current policy (rollout.py), scores
them with a reward that needs no gradient (scoring.py), turns rewards into advantages
(advantage.py) and takes optimizer steps on the transitions of those very samples (update.py). All
randomness of epoch e follows from the seed and e, which is what makes a resumed run equal to an
undisturbed one, and lets every process draw the whole epoch and do its share.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.core.diffusion.lora import base_hash
from components.core.diffusion.model import TextToImage
from components.core.errors import UserError
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.core.realism.reward import GOLD, REWARD, RewardFunction
from components.ddpo_lora.advantage import PromptStatistics, group_advantages
from components.ddpo_lora.checkpoint import (
    Progress,
    load_best,
    load_checkpoint,
    save_best,
    save_checkpoint,
)
from components.ddpo_lora.clock import Clock
from components.ddpo_lora.config import Config
from components.ddpo_lora.direct import Begin, Direct
from components.ddpo_lora.dropped import check_dropped
from components.ddpo_lora.early_stop import EarlyStop
from components.ddpo_lora.gathering import Gathered, alone, gathered
from components.ddpo_lora.heldout import Heldout
from components.ddpo_lora.history import GIVEN_UP, Row
from components.ddpo_lora.interruption import Interruption, begin_epoch
from components.ddpo_lora.metrics import reward_metrics
from components.ddpo_lora.parallel import Group
from components.ddpo_lora.plan import Task, owners, plan_update, trained_transitions
from components.ddpo_lora.policy import Policy
from components.ddpo_lora.reporting import Reporter
from components.ddpo_lora.rollout import Rollout, draw_prompts, parts
from components.ddpo_lora.scoring import Render, Scoring
from components.ddpo_lora.strips import save_strip, strip_file, strip_name
from components.ddpo_lora.update import Update

FloatArray = npt.NDArray[np.float64]


class Trainer:
    """Improves the adapter of `model.unet` on `train_prompts`; see `run`.

    Args:
        model: the generator, its UNet carrying a LoRA adapter that alone requires gradients.
        reward: scores grids; called with nothing but arrays, so anything can stand in for it.
        train_prompts: the prompts that are sampled and learnt from.
        heldout_prompts: prompts that are only ever measured.
        work: folder for checkpoints, which outlives a kill.
        categories: of every prompt, or empty.
        render: renders in place of the reward's own renderer.
        group: the processes that train together.
        gradient: the reward of an epoch's samples with its gradient, for method "direct".
    """

    def __init__(
        self,
        model: TextToImage,
        reward: RewardFunction,
        train_prompts: Sequence[str],
        heldout_prompts: Sequence[str],
        config: Config,
        work: Path,
        tracker: Tracker,
        *,
        categories: Mapping[str, str] | None = None,
        render: Render | None = None,
        group: Group | None = None,
        gradient: Begin | None = None,
    ) -> None:
        self._gradient = gradient
        self._config, self._work = config, work
        self._train_prompts = list(train_prompts)
        self._categories = categories or {}
        self._group = group or Group()
        self._reporter = Reporter(tracker, self._group)
        self._statistics = PromptStatistics(
            config.statistics_buffer, config.statistics_min_count, config.advantage_scale
        )
        self.policy = Policy(model, [*train_prompts, *heldout_prompts], config)
        self._scoring = Scoring(
            self.policy.decode, reward, render=render, overlap=config.overlap,
            max_dropped=config.max_dropped,
        )  # fmt: skip
        self._pause = Interruption(self._group)
        self.heldout = Heldout(
            self.policy, self._scoring, heldout_prompts, self._categories, config, self._group,
            self._pause,
        )  # fmt: skip
        self.update = Update(model, config, self._group, self._pause)
        self._stopping = EarlyStop(config.stop_patience)
        if self._stopping.active and not heldout_prompts:
            raise UserError(
                "ddpo_lora.stop_patience needs held-out prompts, but there are none: raise "
                "prompt_selection.heldout_prompts, or set stop_patience to 0"
            )

    def run(self) -> list[Row]:
        """Train from the newest checkpoint, or from the start; return one history row an epoch.

        Row e holds what was measured with the policy that epoch e began with. A last row, numbered
        one higher, holds the held-out measurement of the final policy only: with `stop_patience`
        a run may end early, and its final policy is then the best one, as it is if the last
        measurement finds the gold score fallen. At SIGTERM, in any of the processes, all of them
        raise `Preempted`.
        """
        parameters, optimizer = self.update.parameters, self.update.optimizer
        progress = self._restore()
        self._group.check_equal(parameters.values())
        with self._pause.noticing(), self._scoring:
            self._pause.finished = progress.epoch
            while progress.epoch < self._config.epochs and not self._stopping.over:
                if self._group.rank == 0 and (told := begin_epoch(self._work, progress.epoch)):
                    self._reporter.say(told)
                progress.history.append(self._epoch(progress.epoch))
                progress.epoch += 1
                progress.statistics = self._statistics.state()
                progress.steps = self.update.steps
                progress.norms = self.update.guard.state()
                progress.stopping = self._stopping.state()
                progress.heldout_start = self.heldout.start
                if self._group.rank == 0:
                    save_checkpoint(self._work, parameters, optimizer, progress)
                self._pause.finished = progress.epoch
            final = self._conclude(progress.epoch)
        self._reporter.log(final)
        return [*progress.history, final]

    def _restore(self) -> Progress:
        """The newest checkpoint, put back into everything that has a state; or a beginning."""
        base = base_hash(self.policy.model.unet)
        progress = load_checkpoint(
            self._work, self.update.parameters, self.update.optimizer, base
        ) or Progress(epoch=0, history=[], statistics={}, base=base)
        self._statistics.restore(progress.statistics)
        self.update.steps = progress.steps
        self.update.guard.restore(progress.norms)
        self.heldout.start = progress.heldout_start
        if progress.stopping:
            self._stopping.restore(progress.stopping)
        return progress

    def _conclude(self, epoch: int) -> Row:
        """Settle which adapter is the result; the row of its measurement."""
        clock = Clock()
        if self._stopping.over:
            load_best(self._work, self.update.parameters)
        row, gold = self.heldout.measure(clock)
        if self._stopping.over:
            row |= {"restored": 1.0}
        elif self._stopping.ends_behind(gold):
            self._reporter.say("the gold score has fallen: returning to the best adapter before")
            load_best(self._work, self.update.parameters)
            given_up = {f"given_up_{key}": row[key] for key in GIVEN_UP}
            row = self.heldout.measure(clock)[0] | {"restored": 1.0, **given_up}
        self._save_strip(epoch)
        return {"epoch": epoch, **row, "seconds": clock.seconds}

    def _epoch(self, epoch: int) -> Row:
        clock, row = Clock(), Row(epoch=epoch)
        if self._config.strips_every and epoch % self._config.strips_every == 0:
            self._save_strip(epoch)
        if self._measured(epoch):
            row |= self._measure_heldout(clock)
        if self._stopping.over:
            self._reporter.say(f"the gold score fell below its best: stopping at epoch {epoch}")
            row |= {"stopped": 1.0, "seconds": clock.seconds}
            self._reporter.log(row)
            return row
        rng = np.random.default_rng(derive_seed(self._config.seed, "epoch", str(epoch)))
        if self._config.method == "direct":
            row |= self._learn_directly(rng, clock)
        else:
            row |= self._learn(rng, clock, judged=self._measured(epoch))
        if "no_gradient" in row:
            self._reporter.say(
                f"epoch {epoch} teaches nothing: every sample earned its usual reward"
            )
        row["seconds"] = clock.seconds
        self._reporter.log(row)
        return row

    def _measured(self, epoch: int) -> bool:
        return bool(self._config.heldout_samples) and epoch % self._config.heldout_every == 0

    def _learn(self, rng: np.random.Generator, clock: Clock, *, judged: bool) -> Row:
        prompts, rollouts, found, plan = self.roll_out(rng, clock)
        row = self._describe(prompts, found)
        advantages = self.advantages(prompts, found)
        if not any(batch.any() for batch in advantages):
            return row | {"no_gradient": 1.0}
        with clock.phase("update"):
            return row | self.update(rollouts, advantages, plan, judged=judged)

    def _learn_directly(self, rng: np.random.Generator, clock: Clock) -> Row:
        if self._gradient is None:
            raise ValueError('method = "direct" needs a reward with a gradient')
        prompts, seeds = self._draw(rng)
        reward = self._gradient(len(prompts), rng)
        batches = len(parts(len(prompts), self._config.forward_batch))
        plan = plan_update(batches, self.policy.deviations, self._config, rng)
        climb = Direct(self.policy, self.update, self._config, self._group, self._pause)
        rewards, row = climb(reward, prompts, seeds, plan, clock)
        return self._describe(prompts, alone(rewards)) | row

    def _draw(self, rng: np.random.Generator) -> tuple[list[str], list[int]]:
        """The prompts of an epoch and a seed for each."""
        config = self._config
        prompts = draw_prompts(
            self._train_prompts, config.samples_per_epoch, config.samples_per_prompt, rng
        )
        return prompts, [int(seed) for seed in rng.integers(2**62, size=len(prompts))]

    def roll_out(
        self, rng: np.random.Generator, clock: Clock
    ) -> tuple[list[str], dict[int, Rollout], Gathered, list[list[Task]]]:
        """An epoch's samples: prompts, this process's rollouts by number, scores, and the plan."""
        config = self._config
        prompts, seeds = self._draw(rng)
        scoring = self._scoring.begin(
            len(prompts),
            rng,
            clock,
            lights_per_sample=config.lights_per_sample,
            sharing=config.samples_per_prompt if config.shared_light else 1,
        )
        batches = parts(len(prompts), config.forward_batch)
        plan = plan_update(len(batches), self.policy.deviations, config, rng)
        owner = owners(plan, len(batches), self._group.size)
        trained = trained_transitions(plan)
        rollouts = {}
        for number, part in enumerate(batches):
            if owner[number] == self._group.rank:
                self._pause()
                with clock.phase("sample"):
                    rollouts[number] = self.policy.roll_out(
                        prompts[part], seeds[part], trained[number]
                    )
                scoring.add(range(len(prompts))[part], rollouts[number].trajectory.final_bchw)
        found = gathered(scoring.finish(), len(prompts), self._group)
        return prompts, rollouts, found, plan

    def advantages(self, prompts: Sequence[str], found: Gathered) -> list[FloatArray]:
        """Advantages by forward batch; a dropped sample has 0 and is not remembered.

        Samples that share a light are compared among themselves: where a prompt is drawn again in
        an epoch, those are under another one.
        """
        rewards = found.scores[REWARD]
        known = np.flatnonzero(np.isfinite(rewards))
        names = [prompts[index] for index in known]
        each = self._config.samples_per_prompt if self._config.shared_light else len(prompts)
        draws = [int(index) // each for index in known]
        values = np.zeros(len(prompts))
        if self._config.advantages == "group":
            scale = self._config.advantage_scale
            values[known] = group_advantages(names, rewards[known], draws, scale)
        else:
            values[known] = self._statistics.advantages(names, rewards[known], draws)
        return [values[part] for part in parts(len(prompts), self._config.forward_batch)]

    def _describe(self, prompts: Sequence[str], found: Gathered) -> Row:
        rewards, limit = found.scores[REWARD], self._config.max_dropped
        check_dropped(rewards, limit, self._scoring.failures, "samples")
        kinds = [self._categories[p] for p in prompts] if self._categories else []
        row: Row = reward_metrics("train_reward", found.scores[REWARD], kinds)
        if np.isfinite(found.scores[GOLD]).any():
            row["gold_reward"] = float(np.nanmean(found.scores[GOLD]))
        if found.diversity is not None:
            row["train_diversity"] = found.diversity
        row["dropped"] = float(found.dropped)
        return row

    def _measure_heldout(self, clock: Clock) -> Row:
        row, gold = self.heldout.measure(clock)
        if not self._stopping.active:
            return row
        if not np.isfinite(gold).any():
            raise UserError(
                "ddpo_lora.stop_patience needs gold scores, but this reward gives none: give a "
                "reward with a gold scorer, or set stop_patience to 0"
            )
        if self._stopping.observe(gold) and self._group.rank == 0:
            save_best(self._work, self.update.parameters)
        return row

    def _save_strip(self, epoch: int) -> None:
        done = strip_file(self._work, epoch).exists()
        wanted = self._config.strips_every and self.heldout.shows
        if wanted and self._group.rank == 0 and not done:
            image = self._scoring.call(self.heldout.strip)
            save_strip(self._work, epoch, image)
            self._reporter.tracker.log_image(np.concatenate(list(image), axis=1), strip_name(epoch))
