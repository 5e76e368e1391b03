"""From latents to scores, in series or in a thread beside the sampling of the next batch.

Either way the same is computed from the same numbers: lights are drawn for a whole round before
its first sample is made, a rendering depends on its material and light alone, and CLIP sees
renderings in the order of their samples, in batches of one size. So overlapping changes when a
score is known, and nothing else.

A sample whose rendering failed, or whose score is not finite, is dropped: its scores are NaN.
Where more samples of a round are lost than may be, or nothing at all can be rendered, that is said
at once: at full size the rest of the round would take minutes and come to nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from components.core.realism.reward import REWARD, RealismReward, RewardFunction
from components.core.rendering.batch import Light
from components.ddpo_lora.clock import Clock
from components.ddpo_lora.dropped import too_many_dropped
from components.ddpo_lora.rendering import OwnRenderer

FloatArray = npt.NDArray[np.floating[Any]]
Grids = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Result = TypeVar("Result")
Decode = Callable[[Tensor], Grids]
Render = Callable[[Grids, Sequence[Light]], Sequence[Image | None]]

TOGETHER = 4
"""Batches, at most, that are rendered at once while sampling goes on."""
TRIES = 8
"""Samples that may fail to render before the first one succeeds."""
CLIP_BATCH = 64
"""Renderings whose features are computed at once; `ClipFeatures` has the same."""


@dataclass(frozen=True)
class Scored:
    """What is known of the N samples of a round, NaN for dropped ones."""

    scores: dict[str, FloatArray]  # (N,) by scorer
    features_nd: npt.NDArray[np.float32] | None  # mean over a sample's lights, if there is a CLIP

    @property
    def dropped(self) -> int:
        """Samples without a finite reward."""
        return int((~np.isfinite(self.scores[REWARD])).sum())


class Scoring:
    """Starts rounds of scoring; use as a context manager if `overlap` is set.

    Args:
        decode: latents (B, C, h, w) to grids (B, 2H, 2W, 3).
        reward: a `RealismReward` goes batch by batch; any other function is called at the end of
            a round with all grids.
        render: renders in place of the reward's own renderer (`RenderPool`).
        overlap: decode, render and score in a thread while the caller goes on.
        max_dropped: share of a round's samples that may have no reward; UserError beyond it.
    """

    def __init__(
        self,
        decode: Decode,
        reward: RewardFunction,
        *,
        render: Render | None = None,
        overlap: bool = False,
        max_dropped: float = 1.0,
    ) -> None:
        self.decode, self.reward, self.overlap = decode, reward, overlap
        self.max_dropped = max_dropped
        self.render: Render | None = render
        self.fragile = render is not None
        if render is None and isinstance(reward, RealismReward):
            self.render = OwnRenderer(reward)
        self.thread: ThreadPoolExecutor | None = None

    def __enter__(self) -> Scoring:
        if self.overlap:
            self.thread = ThreadPoolExecutor(1, "scoring", _like_this_thread())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.thread is not None:
            self.thread.shutdown(cancel_futures=True)
            self.thread = None

    def call(self, work: Callable[[], Result]) -> Result:
        """Do something where rendering happens, so that it never happens in two threads."""
        return work() if self.thread is None else self.thread.submit(work).result()

    @property
    def failures(self) -> list[str]:
        """Why renderings failed, if what renders knows."""
        return list(getattr(self.render, "failures", []))

    def begin(
        self,
        count: int,
        rng: np.random.Generator,
        clock: Clock,
        *,
        lights_per_sample: int = 1,
        sharing: int = 1,
    ) -> Round:
        """A round of `count` samples, whose lights are drawn from `rng` now."""
        if isinstance(self.reward, RealismReward):
            lights = self.reward.draw(count, rng, lights_per_sample, sharing)
            return _Stream(self, self.reward, clock, lights, lights_per_sample, count)
        return _Whole(self, self.reward, clock, rng, lights_per_sample, sharing)


def _like_this_thread() -> Callable[[], None]:
    """Sets up a thread to compute as this one does: where, and with how many threads, since
    another number of them would round differently."""
    threads = torch.get_num_threads()
    device = torch.cuda.current_device() if torch.cuda.is_initialized() else None

    def prepare() -> None:
        torch.set_num_threads(threads)
        if device is not None:
            torch.cuda.set_device(device)

    return prepare


class Round(ABC):
    """The samples of an epoch or of a measurement on their way to their scores."""

    def __init__(self, scoring: Scoring, clock: Clock) -> None:
        self._scoring = scoring
        self._clock = clock
        self._futures: list[Future[None]] = []
        self._handed = 0  # batches added so far

    def add(self, numbers: Sequence[int], latents_bchw: Tensor) -> None:
        """Hand over samples by their number in the round; batches in ascending order."""
        thread = self._scoring.thread
        self._handed += 1
        for future in self._futures:
            if future.done():
                future.result()  # raises what went wrong
        if thread is None:
            self._take(numbers, latents_bchw)
        else:
            self._futures.append(thread.submit(self._take, numbers, latents_bchw))

    def finish(self) -> tuple[list[int], Scored]:
        """The numbers of all samples handed over, and their scores in that order."""
        if self._futures:
            with self._phase("wait"):
                for future in self._futures:
                    future.result()
        return self._finish()

    def _phase(self, name: str) -> AbstractContextManager[None]:
        return self._clock.phase(name)

    @abstractmethod
    def _take(self, numbers: Sequence[int], latents_bchw: Tensor) -> None:
        """Decode and score, or hand on what does."""

    @abstractmethod
    def _finish(self) -> tuple[list[int], Scored]:
        """As `finish`, once everything handed over is taken."""


class _Whole(Round):
    """A round of a plain function: everything is decoded, then the function is called once."""

    def __init__(
        self,
        scoring: Scoring,
        reward: RewardFunction,
        clock: Clock,
        rng: np.random.Generator,
        lights_per_sample: int,
        sharing: int,
    ) -> None:
        super().__init__(scoring, clock)
        self._score = lambda grids: reward(grids, rng, lights_per_sample, sharing)
        self._numbers: list[int] = []
        self._grids: list[Grids] = []

    def _take(self, numbers: Sequence[int], latents_bchw: Tensor) -> None:
        with self._phase("decode"):
            self._grids.append(self._scoring.decode(latents_bchw))
        self._numbers += numbers

    def _finish(self) -> tuple[list[int], Scored]:
        if not self._grids:  # all batches were other processes'
            return [], Scored({REWARD: np.empty(0)}, None)
        with self._phase("score"):
            scores = self._score(np.concatenate(self._grids))
        return self._numbers, Scored({k: np.asarray(v) for k, v in scores.items()}, None)


class _Stream(Round):
    """A round of a realism reward: decode, render and judge batch by batch."""

    def __init__(
        self,
        scoring: Scoring,
        reward: RealismReward,
        clock: Clock,
        lights: Sequence[Light],
        lights_per_sample: int,
        count: int,
    ) -> None:
        super().__init__(scoring, clock)
        self._count = count
        self._rendered = 0  # samples that were tried
        self._reward = reward
        self._lights = lights
        self._per_sample = lights_per_sample
        self._numbers: list[int] = []
        self._taken = 0
        self._waiting: list[tuple[Sequence[int], Grids]] = []
        self._complete: list[int] = []  # samples whose renderings are all there
        self._images: list[Image] = []  # theirs, as far as CLIP has not seen them
        self._features: list[npt.NDArray[np.float32]] = []

    def _take(self, numbers: Sequence[int], latents_bchw: Tensor) -> None:
        with self._phase("decode"):
            self._waiting.append((numbers, self._scoring.decode(latents_bchw)))
        self._numbers += numbers
        self._taken += 1
        # Where rendering is behind, several batches go out together: no render process is idle
        # while the last picture of a batch is made.
        behind = self._taken < self._handed and len(self._waiting) < TOGETHER
        # In series everything is rendered at the end, but for what shows that it can be.
        untried = self._scoring.fragile and not self._complete
        due = not behind if self._scoring.overlap else untried
        if due:
            self._render()
            self._look(CLIP_BATCH)

    def _render(self) -> None:
        """Render what is waiting, all at once: environments are then changed least often."""
        numbers = [number for part, _ in self._waiting for number in part]
        grids = np.concatenate([grids for _, grids in self._waiting])
        self._waiting = []
        each = self._per_sample
        lights = [self._lights[n * each + light] for n in numbers for light in range(each)]
        assert self._scoring.render is not None
        with self._phase("render"):
            images = self._scoring.render(np.repeat(grids, each, axis=0), lights)
        for place, number in enumerate(numbers):
            own = [
                image for image in images[place * each : (place + 1) * each] if image is not None
            ]
            if len(own) == each:
                self._complete.append(number)
                self._images += own
        self._rendered += len(numbers)
        self._check()

    def _check(self) -> None:
        """UserError if what is lost already is too much, or nothing succeeds."""
        lost = self._rendered - len(self._complete)
        limit = self._scoring.max_dropped
        hopeless = limit < 1.0 and lost >= TRIES and not self._complete
        if hopeless or lost > limit * self._count:
            reason = (self._scoring.failures or ["they could not be rendered"])[-1]
            raise too_many_dropped(lost, f"the first {self._rendered} samples", reason)

    def _look(self, least: int) -> None:
        """Features of whole batches of renderings while at least `least` are there."""
        with self._phase("score"):
            while len(self._images) >= least:
                batch, self._images = self._images[:CLIP_BATCH], self._images[CLIP_BATCH:]
                self._features.append(self._reward.features(np.stack(batch)))

    def _finish(self) -> tuple[list[int], Scored]:
        if self._waiting:
            self._render()
        self._look(1)
        if not self._complete:
            return self._numbers, Scored({REWARD: np.full(len(self._numbers), np.nan)}, None)
        features = np.concatenate(self._features)
        place = {number: index for index, number in enumerate(self._numbers)}
        rows = [place[number] for number in self._complete]
        with self._phase("score"):
            judged = self._reward.judge(features)
        scores = {}
        for name, values in judged.items():
            means = values.reshape(-1, self._per_sample).mean(axis=1)
            scores[name] = np.full(len(self._numbers), np.nan, means.dtype)
            scores[name][rows] = means
        means_nd = np.full((len(self._numbers), features.shape[1]), np.nan, np.float32)
        means_nd[rows] = features.reshape(len(rows), self._per_sample, -1).mean(axis=1)
        return self._numbers, Scored(scores, means_nd)
