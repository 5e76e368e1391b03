"""Which items the reward, the gold scorer and the test see: never the same material twice.

The split follows from a hash of what the item shows (the photograph's source, or the number of
the generated material), so all renderings of one material fall into the same part, and a set that
grows keeps the parts of what it had.
"""

from collections.abc import Mapping
from typing import Any, Literal

from components.core.platform.seeds import derive_seed

Split = Literal["reward", "gold", "test"]


def group_of(set_name: str, row: Mapping[str, Any]) -> str:
    """The material that an index row shows."""
    if set_name == "photographs":
        return f"photographs/{row['source']}"
    return f"generated/{row['material']}"


def split_of(group: str, seed: int, gold_share: float, test_share: float) -> Split:
    """The part of one material."""
    position = derive_seed(seed, "split", group) / 2**32
    if position < test_share:
        return "test"
    return "gold" if position < test_share + gold_share else "reward"
