"""The order in which tasks are judged: those first that the judgements so far say least about.

As in the stage `realism_labels`, a linear classifier on CLIP features for each set, trained on what
has been judged; |2p - 1| is how sure it is of an image. With a few dozen judgements it has to be
regularised well and fitted to the end, which a solver does in no time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from components.annotation_sync.config import Config
from components.core.platform.seeds import derive_seed
from labeling.annotations import SETS, Annotation, Task
from labeling.order import order_scores

STRENGTH = 0.1
"""Inverse of the penalty, for standardised features."""
VOTES = {"realistic": 1, "unrealistic": -1}
Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class Doubt:
    """encode: images (N, H, W, 3) uint8 to CLIP features (N, D)."""

    def __init__(self, config: Config, tasks: Sequence[Task], encode: Encode) -> None:
        self.config, self.tasks, self.encode = config, tasks, encode

    def scores(self, annotations: Sequence[Annotation]) -> NDArray[np.float64]:
        """(N,): the order of the tasks, the lowest first; without judgements a random one."""
        rng = np.random.default_rng(derive_seed(self.config.seed, "annotation_sync", "order"))
        margins = rng.random(len(self.tasks))
        balance: Counter[tuple[str, int]] = Counter()
        for a in annotations:
            balance[(a.set, a.item)] += VOTES.get(a.label, 0)
        for name in SETS:
            rows = np.array([i for i, t in enumerate(self.tasks) if t.set == name], dtype=np.int64)
            votes = np.array([balance[(name, self.tasks[i].item)] for i in rows])
            if (votes > 0).any() and (votes < 0).any():
                margins[rows] = self._margins(name, rows, votes)
        return order_scores(margins, np.array([t.random for t in self.tasks]), rng)

    def _margins(
        self, name: str, rows: NDArray[np.int64], votes: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """How sure the classifier is of each image of a set."""
        features, judged = self._features[rows], votes != 0
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))
        classifier.fit(features[judged], votes[judged] > 0)
        return np.abs(2.0 * classifier.predict_proba(features)[:, 1] - 1.0)

    @cached_property
    def _features(self) -> NDArray[np.float32]:
        """Image by image, as the sets may differ in size; computed at the first use."""
        found: NDArray[np.float32] | None = None
        for size in sorted({task.image.shape for task in self.tasks}):
            rows = [i for i, task in enumerate(self.tasks) if task.image.shape == size]
            part = self.encode(np.stack([self.tasks[i].image for i in rows]))
            if found is None:
                found = np.empty((len(self.tasks), part.shape[1]), dtype=np.float32)
            found[rows] = part
        assert found is not None, "there are always tasks"
        return found
