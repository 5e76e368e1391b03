"""What the search asks for, and how the answers to texts and to images become comparable.

In CLIP's space every image lies far nearer to any other image than to any text (Liang et al. 2022,
"Mind the gap"): ranked by plain similarity, the answers to an example would precede all answers to
a text. Each example's scores are therefore brought to the mean and deviation, over the database,
that the scores of its category's text have. An image then ranks by how far it stands out, whoever
asked, and the scores of texts stay what they were, so that `other_prompts` mean the same with and
without examples. Fusion of ranks (such as reciprocal rank fusion) would need no such statistics,
but gives the best answer of a query whose category the database lacks the same weight as the best
answer of any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.photo_retrieval.examples import Examples
from components.photo_retrieval.index import Features, spread

SAMPLE = 65_536
"""Images of the database that means and deviations are taken over."""
SMALLEST = 1e-6


@dataclass(frozen=True)
class Queries:
    """vectors (Q, D); category (Q,) that each asks for; names: "" for texts; gain, offset (Q,):
    what makes a similarity comparable."""

    vectors: NDArray[np.float32]
    category: NDArray[np.int64]
    names: tuple[str, ...]
    gain: NDArray[np.float32]
    offset: NDArray[np.float32]

    @classmethod
    def of(cls, features: Features, texts: NDArray[np.float32], examples: Examples) -> Queries:
        """One query for each category's text (C, D) and for each example."""
        count = len(texts)
        gain, offset = np.ones(count, np.float32), np.zeros(count, np.float32)
        if len(examples.names):
            seen = np.asarray(features[spread(len(features), SAMPLE)], np.float32)
            of_text = seen @ texts[examples.category].T
            of_image = seen @ examples.features.T
            wide = np.maximum(of_image.std(axis=0), SMALLEST)
            more = of_text.std(axis=0) / wide
            gain = np.concatenate([gain, more])
            offset = np.concatenate([offset, of_text.mean(axis=0) - more * of_image.mean(axis=0)])
        return cls(
            vectors=np.concatenate([texts, examples.features]),
            category=np.concatenate([np.arange(count), examples.category]),
            names=("",) * count + examples.names,
            gain=gain,
            offset=offset,
        )
