"""The model card that lies beside a reward: what it was made of, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.reward_training.config import Config


def label_origin(rows: Sequence[Mapping[str, Any]], origin: Mapping[str, Any]) -> dict[str, Any]:
    """What the labels were. rows: lines of labels.jsonl; origin: origin.json of the labels."""
    sets = {name: _set(name, rows, origin) for name in dict.fromkeys(str(r["set"]) for r in rows)}
    return {"sets": sets, **{key: origin[key] for key in ("annotators", "alpha", "shared")}}


def _set(name: str, rows: Sequence[Mapping[str, Any]], origin: Mapping[str, Any]) -> dict[str, Any]:
    own = [row for row in rows if row["set"] == name]
    return {
        "images": len(own),
        "judged": sum(row["annotated"] for row in own),
        "realistic": sum(row["label"] for row in own),
        "threshold": origin["thresholds"][name],
    }


def model_card(config: Config, origin: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Markdown. origin: see `label_origin`."""
    people = [f"{name} ({count} judgements)" for name, count in origin["annotators"].items()]
    alpha = origin["alpha"]
    agreement = (
        "no image was judged by several annotators"
        if alpha is None
        else f"Krippendorff's alpha {alpha:.2f} on {origin['shared']} images"
    )
    tv = metrics["tv"]
    lines = [
        "# Realism reward",
        "",
        f"A linear layer on features of the CLIP model `{config.clip}`, trained with equation 5 of",
        f"the paper: mean squared error (weight {config.mse_weight:g}) and total variation (weight",
        f"{config.tv_weight:g}). About 1 means that an image looks like a photograph",
        "of a material, about 0 that it does not; there is no sigmoid.",
        "",
        "## Data",
        "",
        "| set | images | judged by annotators | realistic | threshold for the rest |",
        "|---|---|---|---|---|",
        *(_row(name, found) for name, found in origin["sets"].items()),
        "",
        f"Judged by: {', '.join(people) or 'nobody'}. Agreement: {agreement}.",
        "",
        "## Measured on materials it was not trained on",
        "",
        "| | reward | gold scorer (other data) |",
        "|---|---|---|",
        *(
            f"| {title} | {metrics[key]:.3f} | {metrics['gold'][key]:.3f} |"
            for title, key in MEASURES
            if key in metrics and key in metrics["gold"]
        ),
        "",
        "Reward and gold scorer have no training image in common; over generated test images they",
        f"correlate by {metrics['agreement']:.2f}.",
        "",
        f"Standard deviation among similar photographs: {tv['std_with']:.3f} with total variation, "
        f"{tv['std_without']:.3f} without (divided by the range of all scores: "
        f"{tv['std_with_normalised']:.3f} and {tv['std_without_normalised']:.3f}).",
        "",
        "## Limits",
        "",
        "It knows the kinds of images above and no others. Whatever raises the score without",
        "raising realism is found by reinforcement learning: compare with the gold scorer and",
        "with people.",
    ]
    return "\n".join(lines) + "\n"


MEASURES = (
    ("mean score of real photographs", "real_mean"),
    ("mean score of generated materials", "synthetic_mean"),
    ("AUC, photographs against generated", "holdout_auc"),
    ("AUC, realistic against unrealistic", "label_auc"),
)


def _row(name: str, found: Mapping[str, Any]) -> str:
    share = found["realistic"] / found["images"]
    counts = f"{found['images']} | {found['judged']} | {share:.0%}"
    return f"| {name} | {counts} | {found['threshold']:g} |"
