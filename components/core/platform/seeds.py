"""One recipe seed, from which everything random derives its own.

`numpy.random.SeedSequence` spreads the recipe's seed together with a stable hash of names, so two
purposes never share a stream and adding a purpose does not move the others.
"""

import hashlib

import numpy as np


def derive_seed(seed: int, *names: str) -> int:
    """Returns the seed (0 <= seed < 2**32) of the purpose called `names` under a recipe's seed."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    words = np.frombuffer(digest, dtype="<u4")
    sequence = np.random.SeedSequence([seed, *(int(word) for word in words)])
    return int(sequence.generate_state(1, np.uint32)[0])
