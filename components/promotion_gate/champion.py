"""The present champion's figures, as its version in the registry carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from components.core.platform.aliases import CHAMPION
from components.core.platform.figures import EVALUATION_TAG, WEIGHTS_TAG

SHOWN = {
    "held-out realism": "before_after.after_mean",
    "gold scorer": "gold.after_mean",
    "diversity": "diversity.after",
    "diversity within a prompt": "diversity_within.after",
    "CLIP score": "clip_score.after",
}
"""Which figure of a model stands in the row of which rule."""
OWN_SCALE = {
    "realism gained": "before_after.difference",
    "realism, after": "before_after.after_mean",
    "gold score gained": "gold.difference",
    "gold score, after": "gold.after_mean",
}
"""By each model's own scorers: two of them have no common scale."""
ONE_SCALE = {
    "CLIP score": "clip_score.after",
    "category recognised, share": "recognised.after",
    "diversity": "diversity.after",
    "diversity within a prompt": "diversity_within.after",
    "step across the tile's border": "seam.after",
}


@dataclass(frozen=True)
class Champion:
    """A version and what its own run measured, by names such as "gold.after_mean"."""

    version: str
    figures: Mapping[str, float]


def present_champion(
    client: MlflowClient, name: str, evaluation: str, weights: str = ""
) -> Champion | None:
    """The champion before this run; None without one, or if it is this run's own model.

    Args:
        evaluation: content hash of this run's evaluation: a pipeline that is run again finds the
            model that it has made itself.
        weights: what was evaluated (`weights_hash`): the same weights evaluated anew are no other
            model either. "" where the evaluation does not say.
    """
    # Asked for by name first: a server with users refuses to speak of a model that does not exist.
    if not client.search_registered_models(filter_string=f"name = '{name}'", max_results=1):
        return None
    try:
        found = client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    if found.tags.get(EVALUATION_TAG) == evaluation:
        return None
    if weights and found.tags.get(WEIGHTS_TAG) == weights:
        return None
    logged = client.get_logged_model(found.source.removeprefix("models:/"))
    # Of a model that was evaluated again, the latest.
    ordered = sorted(logged.metrics or [], key=lambda metric: metric.timestamp)
    figures = {metric.key: float(metric.value) for metric in ordered}
    return Champion(str(found.version), figures)


def shown_figure(figures: Mapping[str, float], rule: str) -> str | None:
    """What stands beside a rule; None for a figure that the model's run did not measure."""
    value = figures.get(SHOWN.get(rule, ""))
    return None if value is None else f"{value:.4g}"


def beside(own: Mapping[str, float], champion: Mapping[str, float]) -> list[dict[str, Any]]:
    """{"figure", "this", "champion", "change"} of what both models' runs measured; no change, but
    None, of what has no common scale."""
    rows = []
    for name, key in {**OWN_SCALE, **ONE_SCALE}.items():
        if key in own and key in champion:
            change = own[key] - champion[key] if name in ONE_SCALE else None
            both = {"this": own[key], "champion": champion[key]}
            rows.append({"figure": name, **both, "change": change})
    return rows
