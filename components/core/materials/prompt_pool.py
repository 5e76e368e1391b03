"""Prompts by the hundred, from the procedural library's own way of describing materials.

The paper takes its prompts "from the image descriptions, covering 16 material categories" (section
4.3). Here a description is what the library's painters would say about a material they could make.
"""

import numpy as np

from components.core.materials.library.catalogue import PAINTERS
from components.core.materials.prompts import is_heldout, prompt_of

ATTEMPTS = 60


def draw_prompts(
    category: str, count: int, rng: np.random.Generator, *, heldout: bool
) -> list[str]:
    """Up to `count` different prompts of a category, all of them held out or none.

    Fewer come back where a category's descriptions are exhausted. The order is that of drawing, so
    the first ones do not depend on `count`.
    """
    painter = PAINTERS[category]
    found: dict[str, None] = {}
    for _ in range(ATTEMPTS * (count + 8)):
        if len(found) == count:
            break
        prompt = prompt_of(category, str(painter.describe(rng).caption))
        if is_heldout(prompt) is heldout:
            found[prompt] = None
    return list(found)
