"""Which candidates to train on: in every category those with the lowest mean score.

"We then select 6 or 7 prompts with the lowest realism within each category, for a total of 100
prompts" (paper, section 4.3). An equal share per category keeps the training from attending to the
one or two categories that the generator is worst at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.core.materials.material import CATEGORIES
from components.core.materials.prompt_pool import draw_prompts


@dataclass(frozen=True)
class Candidate:
    """A prompt that was tried, and the mean score of its samples."""

    prompt: str
    category: str
    mean_score: float


def shares(total: int, parts: Sequence[str]) -> dict[str, int]:
    """`total` split over `parts` as evenly as whole numbers allow, the first ones getting more."""
    each, left = divmod(total, len(parts))
    return {part: each + (index < left) for index, part in enumerate(parts)}


def rank(candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    """By category, from the lowest mean score up; equal scores in the order of the prompts."""
    ranked: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda c: (c.category, c.mean_score, c.prompt)):
        ranked.setdefault(candidate.category, []).append(candidate)
    return ranked


def lowest_per_category(candidates: Sequence[Candidate], total: int) -> list[Candidate]:
    """`total` candidates, the lowest ones of each category in nearly equal numbers.

    When `total` is not a multiple of the number of categories, one more is taken where the next
    candidate has the lowest score; a category with too few candidates leaves its share to others.
    """
    ranked = rank(candidates)
    chosen: list[Candidate] = []
    for place in range(max(map(len, ranked.values()), default=0)):
        row = [of_category[place] for of_category in ranked.values() if place < len(of_category)]
        room = total - len(chosen)
        chosen += sorted(row, key=lambda c: (c.mean_score, c.prompt))[:room]
    return sorted(chosen, key=lambda c: (c.category, c.mean_score))


def draw_pool(total: int, rng: np.random.Generator, *, heldout: bool) -> list[tuple[str, str]]:
    """About `total` different (prompt, category) pairs, evenly over the categories."""
    return [
        (prompt, category)
        for category, count in shares(total, CATEGORIES).items()
        for prompt in draw_prompts(category, count, rng, heldout=heldout)
    ]
