"""Spreads the hand labels to all images: one linear classifier per set on CLIP features.

Section 4.1 of the paper: a linear classifier for the photographs and one for the generated
materials estimate the probability of realism of the images nobody judged; thresholds of 0.2 and
0.4 make binary labels of it. Hand labels are kept as they are.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from components.core.errors import UserError
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.device import choose_device
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.core.realism.clip import ClipFeatures
from components.core.realism.linear import Score, fit_linear
from components.core.realism.scorer import LinearScorer
from components.realism_labels.config import Config
from components.realism_labels.splits import Split, group_of, split_of
from components.realism_labels.votes import hand_labels

KIND = "realism-labels"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class ImageSet:
    """One set: CLIP features (N, D), index rows, hand labels (N,) of 0, 1 or -1 for none."""

    name: str
    features: NDArray[np.float32]
    rows: Rows
    hand: NDArray[np.int64]
    splits: list[Split]
    threshold: float


def run(
    config: Config,
    *,
    photographs: Path,
    generated: Path,
    annotations: Path,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "realism-labels"; see the module."""
    votes = hand_labels(read_lines(open_artifact(annotations, "annotations") / "annotations.jsonl"))
    photographs = open_artifact(photographs, "photographs")
    generated = open_artifact(generated, "generated-materials")
    clip = ClipFeatures.load(config.clip, device=choose_device(config.device))
    images = {
        "photographs": np.load(photographs / "images.npy", mmap_mode="r", allow_pickle=False),
        "generated": np.load(generated / "renderings.npy", mmap_mode="r", allow_pickle=False),
    }
    rows = {
        "photographs": read_lines(photographs / "index.jsonl"),
        "generated": read_lines(generated / "index.jsonl"),
    }
    sets = [
        image_set(config, name, clip.images(images[name]), rows[name], votes) for name in images
    ]
    write(config, sets, output=output, tracker=tracker)


def image_set(
    config: Config,
    name: str,
    features: NDArray[np.float32],
    rows: Rows,
    votes: Mapping[tuple[str, int], int],
) -> ImageSet:
    """Everything known about one set, before its classifier is trained."""
    threshold = config.photograph_threshold if name == "photographs" else config.generated_threshold
    splits = [
        split_of(group_of(name, row), config.seed, config.gold_share, config.test_share)
        for row in rows
    ]
    hand = np.array([votes.get((name, i), -1) for i in range(len(rows))], dtype=np.int64)
    return ImageSet(name, features, rows, hand, splits, threshold)


def write(config: Config, sets: Sequence[ImageSet], *, output: Path, tracker: Tracker) -> None:
    """Train a classifier for each set and write features, classifiers and labels."""
    with new_artifact(output, KIND, "realism_labels", config) as folder:
        lines: list[str] = []
        for part in sets:
            classifier = train_classifier(config, part, tracker)
            classifier.save(folder / f"classifier-{part.name}")
            np.save(folder / f"features-{part.name}.npy", part.features)
            rows = label_rows(part, classifier.probability(part.features))
            lines += [json.dumps(row) + "\n" for row in rows]
            tracker.log_metrics(summary(part, rows, classifier))
        (folder / "labels.jsonl").write_text("".join(lines), encoding="utf-8")


def train_classifier(config: Config, part: ImageSet, tracker: Tracker) -> LinearScorer:
    """Binary cross entropy on the hand-labelled items outside the test split."""
    judged = (part.hand >= 0) & (np.array(part.splits) != "test")
    if not judged.any():
        raise UserError(
            f"No image of the set '{part.name}' has a label that can be trained on: judge more "
            "images, then start again."
        )
    features = part.features[judged]
    inputs = torch.from_numpy(features)
    targets = torch.from_numpy(part.hand[judged]).float()

    def loss(score: Score, rows: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(score(inputs[rows]), targets[rows])

    return fit_linear(
        features,
        loss,
        steps=config.steps,
        batch=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        seed=derive_seed(config.seed, "realism_labels", part.name),
        on_progress=lambda step, value: tracker.log_metrics({f"{part.name}_loss": value}, step),
    )


def label_rows(part: ImageSet, probability: NDArray[np.float32]) -> Rows:
    """The lines of labels.jsonl of one set: hand labels as given, thresholded ones elsewhere."""
    estimated = (probability > part.threshold).astype(int)
    return [
        {
            "set": part.name,
            "item": item,
            "probability": round(float(probability[item]), 6),
            "label": int(part.hand[item] if part.hand[item] >= 0 else estimated[item]),
            "annotated": bool(part.hand[item] >= 0),
            "split": part.splits[item],
        }
        for item in range(len(part.rows))
    ]


def summary(part: ImageSet, rows: Rows, classifier: LinearScorer) -> dict[str, float]:
    """How many are realistic, and how often the classifier agrees with unseen hand labels."""
    judged = (part.hand >= 0) & (np.array(part.splits) == "test")
    metrics = {
        f"{part.name}_realistic_share": float(np.mean([row["label"] for row in rows])),
        f"{part.name}_annotated": float((part.hand >= 0).sum()),
    }
    if judged.any():
        predicted = classifier(part.features[judged]) > 0
        metrics[f"{part.name}_test_accuracy"] = float((predicted == part.hand[judged]).mean())
    return metrics


def read_lines(path: Path) -> Rows:
    """The objects of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
