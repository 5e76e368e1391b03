"""Materials of the procedural library a second on one core, by category (`make bench`)."""

import time

import numpy as np
import pytest

from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES

AIM = 20


@pytest.mark.parametrize("size", [128, 512])
def test_materials_a_second(size: int) -> None:
    rng = np.random.default_rng(0)
    rates = {}
    for category in CATEGORIES:
        sample(category, rng, size)
        count = 8 if size == 128 else 2
        started = time.process_time()
        for _ in range(count):
            sample(category, rng, size)
        rates[category] = count / (time.process_time() - started)
    mean = 1 / np.mean([1 / rate for rate in rates.values()])
    slowest = min(rates, key=lambda category: rates[category])
    print(
        f"\n{size}²: {mean:.1f} materials a CPU second (aim at 128²: {AIM}), slowest {slowest} "
        f"{rates[slowest]:.1f}"
    )
