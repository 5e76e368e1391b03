"""What a registered model carries of its evaluation, for whoever compares models later."""

from collections.abc import Mapping
from typing import Any

from components.core.platform.artifacts import hash_text

EVALUATION_TAG = "evaluation"
"""Tag of a version: content hash of the evaluation that its figures are from."""
WEIGHTS_TAG = "weights"
"""Tag of a version: hash of the base model, adapter and reward that it consists of."""
MEASURES = (
    "before_after", "gold", "clip_score", "diversity", "diversity_within", "recognised", "seam",
)  # fmt: skip


def figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Single numbers by name, such as "gold.after_mean"; intervals and lists are left out."""
    return {
        f"{measure}.{key}": float(value)
        for measure in MEASURES
        for key, value in evaluation.get(measure, {}).items()
        if isinstance(value, int | float)
    }


def weights_hash(base: str, lora: str, reward: str) -> str:
    """One hash of the content hashes of a generator's parts: the same weights, however measured."""
    return hash_text(f"{base}\n{lora}\n{reward}")
